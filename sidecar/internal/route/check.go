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

// check returns what is wrong with r regardless of other routes, and sets its derived fields.
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
			fault("unknown method %q: use upper case, for example GET", m)
		}
	}
	if slices.Contains(r.Methods, http.MethodHead) && !slices.Contains(r.Methods, http.MethodGet) {
		fault("method HEAD has no effect: HEAD requests match routes for GET; use GET")
	}
	if r.Authorization != "" && !r.PassesAuthorization() {
		fault("unknown authorization %q: use pass, or leave it out", r.Authorization)
	}
	for i, origin := range r.Origins {
		if err := checkOrigin(origin); err != nil {
			fault("%w", err)
		}
		if slices.Contains(r.Origins[:i], origin) {
			fault("origin %q is listed twice", origin)
		}
	}
	if len(r.Origins) > 0 && !r.takes(http.MethodPost) {
		fault("origins has no effect: the route does not take POST")
	}
	switch {
	case !r.Strip:
	case r.Prefix == "":
		fault("strip needs a prefix: a path is sent as it is")
	case r.Prefix == "/":
		fault("strip has no effect: prefix / is the whole path")
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
	r.checkACR(fault)
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

// checkACR reports classes that could not be sent as acr_values, a list with spaces, or would never
// match.
func (r *Route) checkACR(fault func(format string, args ...any)) {
	if r.ACR == nil {
		return
	}
	if len(r.ACR) == 0 || len(r.ACR) > maxClasses {
		fault("acr must list between 1 and %d values", maxClasses)
	}
	for i, class := range r.ACR {
		switch {
		case class == "" || len(class) > maxClass || strings.ContainsFunc(class, notInClass):
			fault("acr value %q must have between 1 and %d visible ASCII characters, without quotes and backslashes", class, maxClass)
		case slices.Contains(r.ACR[:i], class):
			fault("acr value %q is there twice", class)
		}
	}
	if r.Policy.open() {
		fault("acr has no effect: policy %s admits everyone", r.Policy)
	}
}

// Limits of a route's acr, so that acr_values fit into a URL.
const maxClasses, maxClass = 10, 100

// notInClass reports whether c cannot be in a value of acr: such a list is separated by spaces, and
// is sent in a quoted string (RFC 9470).
func notInClass(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }

const notPlain = "%q must be a decoded path that begins with /, without query, fragment, percent sign, backslash, empty segments, . and .."

// plain reports whether path is one that a request can have, in decoded form.
func plain(path string) bool {
	if strings.ContainsAny(path, "?#%") {
		return false
	}
	escaped := (&url.URL{Path: path}).EscapedPath()
	decoded, err := http1.ReadTarget(http.MethodGet, escaped)
	return err == nil && decoded == path
}

// checkWhole returns what is wrong with valid routes in combination: a route that can never match,
// and a deny.page or a brand.logo that strangers may not see.
func (t *Table) checkWhole() error {
	var faults []error
	for _, r := range t.routes {
		if !t.reaches(r) {
			faults = append(faults, r.fault("no request can match it: more specific routes match all of its paths"))
		}
		if page := r.Deny.Page; page != "" && !t.OpenToStrangers(page) {
			faults = append(faults, r.fault("deny.page %s must be on a route with policy public or optional", page))
		}
	}
	if logo := t.brand.Logo; logo != "" && !t.OpenToStrangers(logo) {
		faults = append(faults, fmt.Errorf("brand.logo %s must be on a route with policy public or optional: strangers see it on the login page", logo))
	}
	return errors.Join(faults...)
}

// The pages of the auth service that are open to strangers, whatever the policy says.
const (
	LoginPage    = "/auth/login"
	RegisterPage = "/auth/register"
)

// OpenToStrangers reports whether a GET of path passes without a session.
func (t *Table) OpenToStrangers(path string) bool {
	if path == LoginPage || path == RegisterPage {
		return true
	}
	r := t.Match(http.MethodGet, path)
	return r != nil && r.Policy.open()
}

// reaches reports whether some request matches r. It tries the path, a segment below a prefix that
// no other route names, and the methods of r or, if r is for all methods, one that no route names.
// If r matches none of these, other routes take all of its requests.
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

// Warnings returns one sentence for each part of a valid policy that depends on how a path is
// spelled or that may not mean what its author expects.
func (t *Table) Warnings() []string {
	var warnings []string
	for i, r := range t.routes {
		if strings.Contains(r.where(), "*") {
			warnings = append(warnings, fmt.Sprintf("route %d (%s): * is no wildcard and matches only itself; use prefix to match everything below a path", r.number, r))
		}
		for _, o := range t.routes[i+1:] {
			if r.plain != o.plain || r.where() == o.where() || !r.sharesMethods(o) {
				continue
			}
			switch stricter := strictest([]Reading{{Route: r}, {Route: o}}); {
			case stricter == nil:
				warnings = append(warnings, fmt.Sprintf("route %d (%s) and route %d (%s) differ only in spelling and neither is stricter: requests that may be for either get 404",
					r.number, r, o.number, o))
			case !r.asStrictAs(o) || !o.asStrictAs(r):
				warnings = append(warnings, fmt.Sprintf("route %d (%s) and route %d (%s) differ only in spelling: requests that may be for either are decided by route %d, the stricter one",
					r.number, r, o.number, o, stricter.number))
			}
		}
		if o := t.foldedRoute(r); o != nil && !o.Policy.open() && !r.asStrictAs(o) {
			warnings = append(warnings, fmt.Sprintf("route %d (%s) admits visitors whom route %d (%s) refuses at %s, which some servers treat as the same path",
				r.number, r, o.number, o, r.plain))
		}
	}
	return warnings
}

// sharesMethods reports whether r and o have a method in common.
func (r *Route) sharesMethods(o *Route) bool {
	return len(r.Methods) == 0 || len(o.Methods) == 0 || slices.ContainsFunc(r.Methods, o.takes)
}

// foldedRoute returns the route of r's own path in folded form if that is a wider route, or nil.
func (t *Table) foldedRoute(r *Route) *Route {
	method := "\x00" // no route names it
	if len(r.Methods) > 0 {
		method = r.Methods[0]
	}
	o := t.literal(method, r.plain)
	if o == nil || o.plain == r.plain {
		return nil
	}
	return o
}
