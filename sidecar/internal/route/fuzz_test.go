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

// FuzzPolicy checks the documented properties of Match for every valid policy and target.
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
	for _, target := range []string{"/app", "/app?", "/app/", "/a%70p/x?y=/z", "/APP/x", "/app/x/", "/app;x/y", "/app/?//", "/gr%C3%BCn/a/b", "/grün/a"} {
		f.Add(routes("{prefix: /app, strip: true, upstream: a, policy: public}, {prefix: /grün/a/, strip: true, upstream: a, policy: public}"), "GET", target)
	}
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
			t.Fatalf("%s %q: Match %v, Explain %v, want the same", method, p, got, taken)
		}
		readings, err := table.Readings(method, p)
		if len(readings) == 0 {
			for _, o := range others {
				if err == nil && fits(o.Route, method, p) {
					t.Fatalf("%s %q: no reading, want %v, which fits", method, p, o.Route)
				}
			}
			if taken != nil {
				t.Fatalf("%s %q: no reading, but route %v, want none", method, p, taken)
			}
			return
		}
		literal := readings[0].Route
		if !fits(literal, method, p) {
			t.Fatalf("%s %q: first reading is %v, want a route that fits", method, p, literal)
		}
		for _, o := range others {
			if o.Route != literal && fits(o.Route, method, p) && !before(literal, o.Route) {
				t.Fatalf("%s %q: first reading is %v, want it more specific than %v", method, p, literal, o.Route)
			}
		}
		if len(readings) == 1 && taken != literal {
			t.Fatalf("%s %q: route %v, want the only reading %v", method, p, taken, literal)
		}
		if taken == nil {
			return
		}
		checkStripped(t, taken, method, target, p)
		now := time.Now()
		for _, v := range visitors(table, now) {
			for _, r := range readings {
				if taken.Judge(v, now) == route.Pass && r.Route.Judge(v, now) != route.Pass {
					t.Fatalf("%s %q: %+v passes at %v, want refused as at %v", method, p, v, taken, r.Route)
				}
			}
		}
		if open := taken.Policy == route.Public || taken.Policy == route.Optional; (taken.Judge(route.Visitor{}, time.Time{}) == route.Pass) != open {
			t.Fatalf("%v: wrong verdict for a stranger under policy %s, want open: %v", taken, taken.Policy, open)
		}
		// The path matches the same route after an application has normalized it.
		for _, tidied := range tidy(p) {
			if got := table.Match(method, tidied); got != taken {
				t.Fatalf("%s %q matches %v, %q matches %v, want the same route", method, p, taken, tidied, got)
			}
		}
	})
}

// checkStripped checks that what an upstream gets is as unambiguous as what the browser sent.
func checkStripped(t *testing.T, r *route.Route, method, target, p string) {
	t.Helper()
	rest, prefix, ok := r.Stripped(target, p)
	switch {
	case !r.Strip:
		if rest != target || prefix != "" || !ok {
			t.Fatalf("%s: strip is not set, but %q becomes %q, %q, %v", r, target, rest, prefix, ok)
		}
		return
	case ok != fits(r, method, p):
		t.Fatalf("%s: %q: ok is %v, want it for a path below the prefix only", r, p, ok)
	case !ok:
		return
	}
	got, err := http1.ReadTarget(method, rest)
	want := strings.TrimPrefix(p, strings.TrimSuffix(r.Prefix, "/"))
	if want == "" {
		want = "/"
	}
	if err != nil || got != want {
		t.Fatalf("%s: %q becomes %q, which is read as %q, %v, want %q", r, target, rest, got, err, want)
	}
	_, query, has := strings.Cut(target, "?")
	if _, q, h := strings.Cut(rest, "?"); q != query || h != has {
		t.Fatalf("%s: %q becomes %q, want the same query", r, target, rest)
	}
	if decoded, err := url.PathUnescape(prefix); err != nil || decoded != strings.TrimSuffix(r.Prefix, "/") {
		t.Fatalf("%s: prefix %q, want that of the route, encoded", r, prefix)
	}
}

// fits reports whether r matches a request literally. It is written independently of the
// implementation.
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

// tidy returns what servers may make of a path: dots resolved, slashes merged, decoded once more.
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
