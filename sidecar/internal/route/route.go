// Package route holds the policy: which path goes to which upstream, and who may pass. A policy is
// data, parsed from one file and checked as a whole.
//
// It decides on the decoded path of package http1, and knows neither cookies nor sessions.
package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lilypad.example/services/pkg/look"
)

// A Policy says who may pass, and whether the upstream receives an access token.
type Policy string

// The policies besides role:NAME.
const (
	// Public admits everyone. No session is looked up and no token is sent.
	Public Policy = "public"
	// Optional admits everyone. A token is sent for signed-in visitors.
	Optional Policy = "optional"
	// Session admits signed-in visitors only.
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

// open reports whether visitors without a session pass.
func (p Policy) open() bool { return p == Public || p == Optional }

// A Route is one entry of the policy. Exactly one of Path and Prefix is set.
type Route struct {
	// Path matches exactly this path.
	Path string `json:"path,omitempty"`
	// Prefix matches this path and everything below it, at a segment boundary.
	Prefix string `json:"prefix,omitempty"`
	// Methods limits the route to these methods; empty means all.
	Methods  []string `json:"methods,omitempty"`
	Upstream string   `json:"upstream"`
	// Strip removes Prefix from the path that the upstream gets.
	Strip  bool   `json:"strip,omitempty"`
	Policy Policy `json:"policy"`
	// Fresh requires a sign-in no longer ago than this, such as "15m"; empty means any time.
	Fresh string `json:"fresh,omitempty"`
	// ACR lists the authentication context classes that are good enough, as the identity provider
	// calls them. A session must have one of them. Empty means any.
	ACR []string `json:"acr,omitempty"`
	// Origins are foreign ones whose pages may post to the route.
	Origins []string `json:"origins,omitempty"`
	// Authorization is "pass" if a client's own Authorization is for the upstream.
	Authorization string `json:"authorization,omitempty"`
	// Deny customizes refusals.
	Deny Denial `json:"deny,omitzero"`

	to     *Upstream
	number int           // position in the file, from 1
	maxAge time.Duration // Fresh, parsed
	plain  string        // Path or Prefix, folded
}

// Number returns the route's position in the file, counted from 1.
func (r *Route) Number() int { return r.number }

// Hosted returns the route to the pages that the auth service renders. No policy file has it.
func Hosted() *Route { return &Route{Prefix: "/auth/", Policy: Optional, to: new(Upstream)} }

// To returns the upstream.
func (r *Route) To() *Upstream { return r.to }

// MaxAge returns how long ago a visitor may have signed in, in whole seconds; 0 means no limit.
func (r *Route) MaxAge() time.Duration { return r.maxAge }

// TakesACR reports whether a session of an authentication context class is good enough. A class
// that the identity provider did not name is "".
func (r *Route) TakesACR(class string) bool { return len(r.ACR) == 0 || slices.Contains(r.ACR, class) }

// A Denial customizes how a route refuses visitors.
type Denial struct {
	// Text replaces the sentence of a refusal. It is plain text.
	Text string `json:"text,omitempty"`
	// Page is the page of the application to which browsers are redirected, instead of the login
	// page or a refusal. It must not require a session.
	Page string `json:"page,omitempty"`
}

// maxText is the maximum length of Denial.Text in characters.
const maxText = 200

// A Visitor is who sent a request, as far as policies depend on it.
type Visitor struct {
	SignedIn bool
	Roles    []string
	AuthTime time.Time // when they last proved who they are, with a password or at a provider
	ACR      string    // authentication context class, by their identity provider; else ""
}

// A Verdict is the decision of a policy about a visitor.
type Verdict int

// The verdicts.
const (
	SignIn      Verdict = iota // the visitor has no session
	SignInAgain                // the sign-in is too long ago, or of another class than the route takes
	Forbid                     // the account lacks the role
	Pass
)

// Judge decides whether v may pass at the time now.
func (r *Route) Judge(v Visitor, now time.Time) Verdict {
	if r.Policy.open() {
		return Pass
	}
	switch role := r.Policy.Role(); {
	case !v.SignedIn:
		return SignIn
	case role != "" && !slices.Contains(v.Roles, role):
		return Forbid
	case r.maxAge > 0 && now.Sub(v.AuthTime) > r.maxAge, !r.TakesACR(v.ACR):
		return SignInAgain
	}
	return Pass
}

// Table is a parsed policy. It is immutable.
type Table struct {
	brand     look.Brand
	upstreams map[string]*Upstream
	routes    []*Route // in file order
	ordered   []*Route // most specific first
	exact     map[string][]*Route
	prefixes  []*Route
	odd       []*Route // routes whose path changes when folded, such as /Pond and /static/
}

// Parse parses a policy in YAML. It returns all errors, joined, one sentence each.
func Parse(text []byte) (*Table, error) {
	var f file
	faults, whole := decode(text, &f)
	if !whole {
		return nil, errors.Join(faults...)
	}
	t := &Table{brand: f.Brand, upstreams: make(map[string]*Upstream), exact: make(map[string][]*Route)}
	faults = append(faults, f.Brand.Check())
	faults = append(faults, t.addUpstreams(f.Upstreams)...)
	if len(f.Routes) == 0 {
		faults = append(faults, errors.New("there is no route: add at least one to routes"))
	}
	for i, text := range f.Routes {
		r := &Route{number: i + 1}
		wrong, whole := decode(text, r) // an empty list item leaves r as it is
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

// add checks and adds a route. It returns everything that is wrong with it.
func (t *Table) add(r *Route) []error {
	faults := r.check()
	var ok bool
	switch r.to, ok = t.upstreams[r.Upstream]; {
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

// sort builds the lookup structures. An exact path is more specific than a prefix, a longer prefix
// than a shorter one, and a route for certain methods than one for all.
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

// rival returns a route that matches requests of r without being more or less specific, or nil.
func (t *Table) rival(r *Route) *Route {
	for _, o := range t.routes {
		both := func(m string) bool { return slices.Contains(o.Methods, m) }
		if o.samePlace(r) && (len(o.Methods)+len(r.Methods) == 0 || slices.ContainsFunc(r.Methods, both)) {
			return o
		}
	}
	return nil
}

// Brand returns how the application presents itself on the pages that come with the product.
func (t *Table) Brand() look.Brand { return t.brand }

// Upstreams returns all upstreams by name.
func (t *Table) Upstreams() map[string]*Upstream { return t.upstreams }

// Match returns the route that decides about a request: the strictest of its Readings, of which
// most requests have one. It returns nil, and the request is refused, if there is no reading or
// none is at least as strict as all others.
func (t *Table) Match(method, path string) *Route {
	var mem [4]Reading
	readings, err := t.appendReadings(mem[:0], method, path)
	if err != nil {
		return nil
	}
	return strictest(readings)
}

// literal returns the most specific route for a path as it is written, or nil.
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

// covers reports whether path, as it is written, is r's path, or is r's prefix or below it.
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

// within reports whether path is prefix or below it, at a segment boundary.
func within(path, prefix string) bool {
	if !strings.HasPrefix(path, prefix) {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}
