package route

import (
	"strconv"
	"strings"
)

// String returns the path or prefix and the methods of the route.
func (r *Route) String() string {
	where := "path " + r.Path
	if r.Path == "" {
		where = "prefix " + r.Prefix
	}
	if len(r.Methods) > 0 {
		where += ", " + strings.Join(r.Methods, " and ") + " only"
	}
	return where
}

// A Reason says why a route does not apply to a request.
type Reason struct {
	Route *Route
	Why   string
}

// Explain returns the route that Match finds, and why the others do not apply, in the
// order of the file.
func (t *Table) Explain(method, path string) (*Route, []Reason) {
	readings, err := t.Readings(method, path)
	taken := strictest(readings)
	reasons := make([]Reason, 0, len(t.routes))
	for _, r := range t.routes {
		switch {
		case r == taken:
		case err != nil:
			reasons = append(reasons, Reason{r, "refused before routes are compared"})
		default:
			reasons = append(reasons, Reason{r, r.whyNot(method, path, readings, taken)})
		}
	}
	return taken, reasons
}

// whyNot says why r does not apply to a request with these readings, for which Match
// returned taken, which may be nil.
func (r *Route) whyNot(method, path string, readings []Reading, taken *Route) string {
	method, _ = judged(method)
	plain, _ := fold(path)
	switch {
	case !r.mayCover(plain):
		return "another path"
	case !r.takes(method):
		return "another method"
	case len(readings) == 0:
		return "another spelling"
	}
	before := readings[0].Route
	for _, reading := range readings {
		switch o := reading.Route; {
		case o == r && taken == nil:
			return "another route asks for something else"
		case o == r && r.asStrictAs(taken):
			return taken.name() + " is as strict, and comes first"
		case o == r:
			return taken.name() + " is stricter"
		case o.samePlace(r):
			before = o
		}
	}
	switch {
	case before.samePlace(r):
		return before.name() + " is for this very method"
	case before.Path != "":
		return before.name() + " is for this very path"
	}
	return before.name() + " has a longer prefix"
}

func (r *Route) name() string { return "route " + strconv.Itoa(r.number) }
