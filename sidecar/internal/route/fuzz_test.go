package route_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
)

// FuzzPolicy holds a policy to what Match promises, for every file that Parse
// accepts and every target that the sidecar reads.
func FuzzPolicy(f *testing.F) {
	routes := func(lines string) string { return "upstreams: {a: \"http://a\"}\nroutes: [" + lines + "]" }
	for _, target := range []string{"/", "/login", "/static", "/static/a.css", "/static/..%2fadmin", "/admin//x", "/%61dmin/users?x=/login", "/api/frogs/1", "/a%00", "/%e2%82%ac"} {
		f.Add(policy, "GET", target)
		f.Add(policy, "POST", target)
	}
	f.Add(routes("{path: /a, methods: [GET], upstream: a, policy: public}, {path: /a, upstream: a, policy: session}, {prefix: /, upstream: a, policy: optional}"), "HEAD", "/a")
	f.Add(routes("{prefix: /a/, upstream: a, policy: public}, {prefix: /a, upstream: a, policy: session, fresh: 1s, deny: {text: x}}"), "GET", "/a/")
	f.Add(routes("{prefix: /a, upstream: a, policy: public}, {prefix: /a/b, methods: [PUT], upstream: a, policy: \"role:x\"}, {prefix: /a/b/, upstream: a, policy: session}"), "PUT", "/a/b/c")
	f.Add(routes("{path: /€, upstream: a, policy: public}, null"), "GET", "/%E2%82%AC")
	f.Add("upstreams: {a: 1}\nroutes: {}", "GET", "/")
	f.Fuzz(func(t *testing.T, text, method, target string) {
		table, err := route.Parse([]byte(text))
		if err != nil {
			return
		}
		p, err := http1.ReadTarget(method, target)
		if err != nil {
			return
		}
		taken, others := table.Explain(method, p)
		if got := table.Match(method, p); got != taken {
			t.Fatalf("%s %q: Match %v, Explain %v", method, p, got, taken)
		}
		readings, err := table.Readings(method, p)
		if len(readings) == 0 {
			for _, o := range others {
				if err == nil && fits(o.Route, method, p) {
					t.Fatalf("%s %q: no reading, but %v fits", method, p, o.Route)
				}
			}
			if taken != nil {
				t.Fatalf("%s %q: no reading, but %v", method, p, taken)
			}
			return
		}
		literal := readings[0].Route
		if !fits(literal, method, p) {
			t.Fatalf("%s %q: %v does not fit", method, p, literal)
		}
		for _, o := range others {
			if o.Route != literal && fits(o.Route, method, p) && !before(literal, o.Route) {
				t.Fatalf("%s %q: %v, but %v is as specific", method, p, literal, o.Route)
			}
		}
		if len(readings) == 1 && taken != literal {
			t.Fatalf("%s %q: %v is the only reading, and taken is %v", method, p, literal, taken)
		}
		if taken == nil {
			return
		}
		now := time.Now()
		for _, v := range visitors(table, now) {
			for _, r := range readings {
				if taken.Judge(v, now) == route.Pass && r.Route.Judge(v, now) != route.Pass {
					t.Fatalf("%s %q: %+v passes at %v, and not at %v", method, p, v, taken, r.Route)
				}
			}
		}
		if open := taken.Policy == route.Public || taken.Policy == route.Optional; (taken.Judge(route.Visitor{}, time.Time{}) == route.Pass) != open {
			t.Fatalf("%v: a stranger's verdict under %s", taken, taken.Policy)
		}
		// However an application behind us tidies the path, it is that of the same route.
		for _, tidied := range tidy(p) {
			if got := table.Match(method, tidied); got != taken {
				t.Fatalf("%s %q is for %v, and %q for %v", method, p, taken, tidied, got)
			}
		}
	})
}

// fits is what a route says of itself, in other words than the code's.
func fits(r *route.Route, method, p string) bool {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	named := len(r.Methods) == 0
	for _, m := range r.Methods {
		named = named || m == method
	}
	if r.Path != "" {
		return named && p == r.Path
	}
	below := strings.HasPrefix(p, strings.TrimSuffix(r.Prefix, "/")+"/")
	return named && (p == r.Prefix || below)
}

// before reports whether a is more specific than b.
func before(a, b *route.Route) bool {
	switch {
	case (a.Path == "") != (b.Path == ""):
		return a.Path != ""
	case len(a.Prefix) != len(b.Prefix):
		return len(a.Prefix) > len(b.Prefix)
	}
	return len(a.Methods) > 0 && len(b.Methods) == 0
}

// tidy returns what servers make of a path: dots resolved, slashes merged,
// decoded once more.
func tidy(p string) []string {
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	all := []string{clean}
	if again, err := url.PathUnescape(p); err == nil {
		all = append(all, again)
	}
	return all
}
