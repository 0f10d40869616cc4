// Package route holds the policy: which path goes to which upstream, and who may
// access it. The policy is read from one YAML file and validated as a whole.
//
// Routes match the path as decoded by http1.
package route

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"lilypad.example/sidecar/internal/forward"
)

// A Policy says who may pass, and whether the upstream gets an access token.
type Policy string

// The policies besides role:NAME.
const (
	// Public: no session is looked up and no token is sent.
	Public Policy = "public"
	// Optional: everyone passes; a token is sent for signed-in users.
	Optional Policy = "optional"
	// Session: only signed-in users pass.
	Session Policy = "session"

	rolePrefix = "role:"
)

// Role returns the role that the policy requires, or "".
func (p Policy) Role() string {
	role, _ := strings.CutPrefix(string(p), rolePrefix)
	if role == string(p) {
		return ""
	}
	return role
}

// open reports whether strangers pass.
func (p Policy) open() bool { return p == Public || p == Optional }

// A Route is one line of the policy. Exactly one of Path and Prefix is set.
type Route struct {
	// Path is an exact path.
	Path string `json:"path,omitempty"`
	// Prefix matches itself and all paths below it, by whole segments.
	Prefix string `json:"prefix,omitempty"`
	// Methods limits the route to some methods; empty for all.
	Methods  []string `json:"methods,omitempty"`
	Upstream string   `json:"upstream"`
	Policy   Policy   `json:"policy"`
	// Fresh is the maximum time since sign-in, such as "15m"; empty for any.
	Fresh string `json:"fresh,omitempty"`
	// Deny customizes refusals.
	Deny Denial `json:"deny,omitzero"`

	number int           // position in the file, from 1
	maxAge time.Duration // Fresh, parsed
	plain  string        // Path or Prefix, folded
}

// Number returns the position of the route in the file, from 1.
func (r *Route) Number() int { return r.number }

// MaxAge returns the maximum time since sign-in, in whole seconds; 0 for any.
func (r *Route) MaxAge() time.Duration { return r.maxAge }

// A Denial customizes the refusals of a route.
type Denial struct {
	// Text replaces the sentence of a refusal. It is plain text.
	Text string `json:"text,omitempty"`
	// Page is the path of the application's page that browsers are redirected to
	// instead. It must be open to strangers.
	Page string `json:"page,omitempty"`
}

// maxText is the maximum length of a Denial's text in characters.
const maxText = 200

// A Visitor is what a policy needs to know about the sender of a request.
type Visitor struct {
	SignedIn bool
	Roles    []string
	AuthTime time.Time // when they signed in
}

// A Verdict is the decision of a policy.
type Verdict int

// The verdicts.
const (
	SignIn      Verdict = iota // not signed in
	SignInAgain                // signed in longer ago than MaxAge
	Forbid                     // the account lacks the role
	Pass
)

// Judge decides whether v may pass at now.
func (r *Route) Judge(v Visitor, now time.Time) Verdict {
	if r.Policy.open() {
		return Pass
	}
	switch role := r.Policy.Role(); {
	case !v.SignedIn:
		return SignIn
	case role != "" && !slices.Contains(v.Roles, role):
		return Forbid
	case r.maxAge > 0 && now.Sub(v.AuthTime) > r.maxAge:
		return SignInAgain
	}
	return Pass
}

// Table is a whole policy. It is immutable.
type Table struct {
	upstreams map[string]string
	routes    []*Route // as in the file
	ordered   []*Route // the most specific first
	exact     map[string][]*Route
	prefixes  []*Route
	odd       []*Route // whose path differs from its folded form, such as /Pond and /static/
}

// Parse reads a policy in YAML. It returns all errors, joined.
func Parse(text []byte) (*Table, error) {
	var f file
	faults, whole := decode(text, &f)
	if !whole {
		return nil, errors.Join(faults...)
	}
	t := &Table{upstreams: make(map[string]string), exact: make(map[string][]*Route)}
	faults = append(faults, t.addUpstreams(f.Upstreams))
	if len(f.Routes) == 0 {
		faults = append(faults, errors.New("there is no route: add at least one to routes"))
	}
	for i, text := range f.Routes {
		r := &Route{number: i + 1}
		wrong, whole := decode(text, r) // leaves r unchanged if the list item is empty
		for _, err := range wrong {
			faults = append(faults, r.fault("%w", err))
		}
		if whole {
			faults = append(faults, t.add(r)...)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	t.sort()
	if err := t.checkWhole(); err != nil {
		return nil, err
	}
	return t, nil
}

// fault returns an error that names the route.
func (r *Route) fault(format string, args ...any) error {
	return fmt.Errorf("route %d (%s): %w", r.number, cmp.Or(r.Path, r.Prefix, "?"), fmt.Errorf(format, args...))
}

func (t *Table) addUpstreams(upstreams map[string]string) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(upstreams)) {
		host, err := parseAddress(upstreams[name])
		if err != nil {
			faults = append(faults, fmt.Errorf("upstream %s: %w", name, err))
		}
		t.upstreams[name] = host // even if it is invalid: one error is enough
	}
	return errors.Join(faults...)
}

// parseAddress returns the host and port of an upstream's URL.
func parseAddress(address string) (string, error) {
	scheme, _, hasScheme := strings.Cut(address, "://")
	switch {
	case address == "":
		return "", errors.New("it has no address: write for example http://127.0.0.1:3000")
	case !hasScheme:
		return "", fmt.Errorf("%q must begin with http://, for example http://%s", address, address)
	case !strings.EqualFold(scheme, "http"):
		return "", fmt.Errorf("%q must begin with http://", address)
	}
	host, err := forward.ParseAddress(address)
	if bad, ok := errors.AsType[*url.Error](err); ok {
		return "", fmt.Errorf("%q is not a URL: %w", address, bad.Err)
	}
	if err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "upstream "))
	}
	return host, nil
}

// add adds one route, or returns all its errors.
func (t *Table) add(r *Route) []error {
	faults := r.check()
	switch _, ok := t.upstreams[r.Upstream]; {
	case r.Upstream == "":
		faults = append(faults, r.fault("upstream is missing"))
	case !ok:
		faults = append(faults, r.fault("upstream %q is not defined", r.Upstream))
	}
	if rival := t.rival(r); len(faults) == 0 && rival != nil {
		faults = append(faults, r.fault("route %d has the same path and methods", rival.number))
	}
	if len(faults) > 0 {
		return faults
	}
	t.routes = append(t.routes, r)
	return nil
}

// sort orders the routes for lookup. An exact path is more specific than a prefix, a
// longer prefix than a shorter one, and a route for some methods than one for all.
func (t *Table) sort() {
	t.ordered = slices.SortedStableFunc(slices.Values(t.routes), func(a, b *Route) int {
		return cmp.Or(cmp.Compare(min(len(a.Prefix), 1), min(len(b.Prefix), 1)),
			cmp.Compare(len(b.Prefix), len(a.Prefix)), cmp.Compare(len(b.Methods), len(a.Methods)))
	})
	for _, r := range t.ordered {
		if r.Path != "" {
			t.exact[r.Path] = append(t.exact[r.Path], r)
		} else {
			t.prefixes = append(t.prefixes, r)
		}
		if r.plain != r.where() {
			t.odd = append(t.odd, r)
		}
	}
}

// rival returns a route that matches some of r's requests without being more or less
// specific than r.
func (t *Table) rival(r *Route) *Route {
	for _, o := range t.routes {
		both := func(m string) bool { return slices.Contains(o.Methods, m) }
		if o.samePlace(r) && (len(o.Methods)+len(r.Methods) == 0 || slices.ContainsFunc(r.Methods, both)) {
			return o
		}
	}
	return nil
}

// Upstreams returns the addresses (host:port) of all upstreams by name.
func (t *Table) Upstreams() map[string]string { return t.upstreams }

// Match returns the route for a request: the strictest of its Readings. It returns
// nil if there is no route, or none that is at least as strict as all others; then
// nobody passes.
func (t *Table) Match(method, path string) *Route {
	var mem [4]Reading
	readings, err := t.appendReadings(mem[:0], method, path)
	if err != nil {
		return nil
	}
	return strictest(readings)
}

// literal returns the most specific route for a path as written, or nil.
func (t *Table) literal(method, path string) *Route {
	for _, r := range t.exact[path] {
		if r.takes(method) {
			return r
		}
	}
	for _, r := range t.prefixes {
		if r.covers(path) && r.takes(method) {
			return r
		}
	}
	return nil
}

func (r *Route) takes(method string) bool {
	return len(r.Methods) == 0 || slices.Contains(r.Methods, method)
}

// covers reports whether r matches path as written.
func (r *Route) covers(path string) bool {
	if r.Path != "" {
		return path == r.Path
	}
	return within(path, r.Prefix)
}

// where returns the route's path or prefix.
func (r *Route) where() string { return r.Path + r.Prefix }

// samePlace reports whether r and o have the same path or prefix.
func (r *Route) samePlace(o *Route) bool { return r.Path == o.Path && r.Prefix == o.Prefix }

// within reports whether path is prefix or below it, by whole segments.
func within(path, prefix string) bool {
	if !strings.HasPrefix(path, prefix) {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}
