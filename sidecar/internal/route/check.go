package route

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"lilypad.example/sidecar/internal/http1"
)

// check returns all errors of one route, and sets its parsed fields.
func (r *Route) check() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, r.fault(format, args...)) }
	where := r.where()
	switch {
	case (r.Path == "") == (r.Prefix == ""):
		fault("set exactly one of path and prefix")
	case !plain(where):
		fault(notPlain, where)
	case where == "/auth" || strings.HasPrefix(where, "/auth/"):
		fault("/auth belongs to the sidecar")
	}
	var err error
	if r.plain, err = fold(where); err != nil {
		fault("%q: %w", where, err)
	}
	switch {
	case r.Policy == "":
		fault("policy is missing: use public, optional, session or role:NAME")
	case r.Policy != Public && r.Policy != Optional && r.Policy != Session && r.Policy.Role() == "":
		fault("unknown policy %q: use public, optional, session or role:NAME", r.Policy)
	}
	for _, m := range r.Methods {
		switch _, err := http1.ReadTarget(m, "/"); {
		case m == http.MethodTrace:
			fault("method %q is always refused", m)
		case err != nil || strings.ToUpper(m) != m:
			fault("unknown method %q: write methods in capitals, for example GET", m)
		}
	}
	if slices.Contains(r.Methods, http.MethodHead) && !slices.Contains(r.Methods, http.MethodGet) {
		fault("method HEAD has no effect: a HEAD request takes the route for GET, so write GET")
	}
	if r.Fresh != "" {
		age, err := time.ParseDuration(r.Fresh)
		switch {
		case err != nil || age < time.Second || age%time.Second != 0:
			fault("fresh %q is not a duration in whole seconds, for example 15m", r.Fresh)
		case r.Policy.open():
			fault("fresh has no effect: policy %s admits everyone", r.Policy)
		}
		r.maxAge = age
	}
	if r.Deny != (Denial{}) && r.Policy.open() {
		fault("deny has no effect: policy %s admits everyone", r.Policy)
	}
	if utf8.RuneCountInString(r.Deny.Text) > maxText || strings.ContainsFunc(r.Deny.Text, unicode.IsControl) {
		fault("deny.text must be one line of at most %d characters", maxText)
	}
	if r.Deny.Page != "" && !plain(r.Deny.Page) {
		fault("deny.page "+notPlain, r.Deny.Page)
	}
	return faults
}

const notPlain = "%q must begin with / and be a plain path: without percent-encoding, query, fragment, backslash, empty segments, . and .."

// plain reports whether path is the decoded path of some request.
func plain(path string) bool {
	if strings.ContainsAny(path, "?#%") {
		return false
	}
	escaped := (&url.URL{Path: path}).EscapedPath()
	decoded, err := http1.ReadTarget(http.MethodGet, escaped)
	return err == nil && decoded == path
}

// checkWhole returns the errors of valid routes in combination: a route that can never
// match, and a deny.page that is not open to strangers.
func (t *Table) checkWhole() error {
	var faults []error
	for _, r := range t.routes {
		if !t.reaches(r) {
			faults = append(faults, r.fault("no request can match it: more specific routes take all of its paths"))
		}
		if page := r.Deny.Page; page != "" {
			if !t.OpenToStrangers(page) {
				faults = append(faults, r.fault("deny.page %s is not open to strangers", page))
			}
		}
	}
	return errors.Join(faults...)
}

// OpenToStrangers reports whether a visitor without a session may GET path.
func (t *Table) OpenToStrangers(path string) bool {
	r := t.Match(http.MethodGet, path)
	return r != nil && r.Policy.open()
}

// reaches reports whether some request matches r. It tries the path itself and, below
// a prefix, a segment that no other route can name; and the route's methods or, for a
// route for all methods, one that no other route can name. If other routes match all
// of these, they match all requests of r.
func (t *Table) reaches(r *Route) bool {
	paths := []string{r.where()}
	if r.Prefix != "" {
		below := strings.TrimSuffix(r.Prefix, "/") + "/"
		paths = append(paths, below, below+"\x00")
	}
	methods := r.Methods
	if len(methods) == 0 {
		methods = []string{"\x00"}
	}
	for _, path := range paths {
		for _, method := range methods {
			if t.literal(method, path) == r {
				return true
			}
		}
	}
	return false
}

// Warnings returns sentences about a valid policy: where it depends on the spelling of
// a path, or may not mean what its author intended.
func (t *Table) Warnings() []string {
	var warnings []string
	for i, r := range t.routes {
		if strings.Contains(r.where(), "*") {
			warnings = append(warnings, fmt.Sprintf("route %d (%s): * is no wildcard here and matches only itself; a prefix matches everything below it", r.number, r))
		}
		for _, o := range t.routes[i+1:] {
			if r.plain != o.plain || r.where() == o.where() || !r.sharesMethods(o) {
				continue
			}
			switch stricter := strictest([]Reading{{Route: r}, {Route: o}}); {
			case stricter == nil:
				warnings = append(warnings, fmt.Sprintf("route %d (%s) and route %d (%s) differ only in spelling, and neither is the stricter: a request that either may be for gets 404",
					r.number, r, o.number, o))
			case !r.asStrictAs(o) || !o.asStrictAs(r):
				warnings = append(warnings, fmt.Sprintf("route %d (%s) and route %d (%s) differ only in spelling: a request that either may be for is judged by route %d, the stricter",
					r.number, r, o.number, o, stricter.number))
			}
		}
		if o := t.plainly(r); o != nil && !o.Policy.open() && !r.asStrictAs(o) {
			warnings = append(warnings, fmt.Sprintf("route %d (%s) lets pass whom route %d (%s) refuses at %s, which some servers take for the same path",
				r.number, r, o.number, o, r.plain))
		}
	}
	return warnings
}

// sharesMethods reports whether both routes apply to some method.
func (r *Route) sharesMethods(o *Route) bool {
	return len(r.Methods) == 0 || len(o.Methods) == 0 || slices.ContainsFunc(r.Methods, o.takes)
}

// plainly returns the wider route that applies to the folded form of r's path, or nil.
func (t *Table) plainly(r *Route) *Route {
	method := "\x00" // which no route names
	if len(r.Methods) > 0 {
		method = r.Methods[0]
	}
	o := t.literal(method, r.plain)
	if o == nil || o.plain == r.plain {
		return nil
	}
	return o
}
