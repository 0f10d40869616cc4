package route

import (
	"strconv"
	"strings"
)

// String says which requests the route is for.
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

// A Reason is why a route does not take a request.
type Reason struct {
	Route *Route
	Why   string
}

// Explain returns the route that Match finds, and why it is none of the others,
// in the order of the file.
func (t *Table) Explain(method, path string) (*Route, []Reason) {
	taken := t.Match(method, path)
	reasons := make([]Reason, 0, len(t.routes))
	for _, r := range t.routes {
		var why string
		switch {
		case r == taken:
			continue
		case !r.covers(path):
			why = "another path"
		case !r.takes(method):
			why = "another method"
		case taken.Path != "":
			why = "route " + strconv.Itoa(taken.number) + " is for this very path"
		case len(taken.Prefix) > len(r.Prefix):
			why = "route " + strconv.Itoa(taken.number) + " has a longer prefix"
		default:
			why = "route " + strconv.Itoa(taken.number) + " is for this very method"
		}
		reasons = append(reasons, Reason{r, why})
	}
	return taken, reasons
}
