package route_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
)

// parse parses a policy whose routes omit their upstream.
func parse(t testing.TB, routes string) *route.Table {
	t.Helper()
	table, err := route.Parse([]byte("upstreams: {a: \"http://a\"}\nroutes: [" + strings.ReplaceAll(routes, "}, {", ", upstream: a}, {") + "]"))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// decided returns the number of the route that decides about a request, or 0.
func decided(table *route.Table, method, target string) int {
	path, err := http1.ReadTarget(method, target)
	if err != nil {
		return 0
	}
	if r := table.Match(method, path); r != nil {
		return r.Number()
	}
	return 0
}

// For each spelling there is a server that serves it like the plain path.
func TestTheStrictestReadingOfAPathDecides(t *testing.T) {
	for _, c := range []struct {
		routes string
		want   map[string]int // by request; 0: 404, or no request
	}{
		{
			`{path: /pond, policy: session}, {prefix: /admin, policy: "role:admin"}, {path: /kiosk/deep, policy: session}, {prefix: /, policy: optional, upstream: a}`,
			map[string]int{
				"/pond": 1, "/POND": 1, "/pOnD": 1, "/%50ond": 1, "/%70ond": 1,
				"/pond/": 1, "/pond.": 1, "/pond...": 1, "/pond%20": 1, "/pond.%20.": 1, "/pond%2e": 1, "/POND.%20/": 1,
				"/pond;": 1, "/pond;x=1": 1, "/pond;x=1/": 1, "/pond.;x": 1, "/pond;x.": 1, "/pond%3bx": 1, "/pond/;x": 1, "/;x/pond": 1, "/;/;y/pond;z": 1,
				"/pond%3fx=1": 1, "/pond%23x": 1, "/pond/%3fx": 1, "/%20pond": 1,
				"/pond%c2%a0": 1, "/pond%e3%80%80": 1, "/pond%e2%80%8b": 1, "/po%c2%adnd": 1, "/pond%ef%bb%bf": 1,
				"/%ef%bd%90ond": 1, "/%ef%bc%b0OND": 1, "/p%c3%b6nd": 1, "/po%cc%88nd": 1, "/%f0%9d%90%a9ond": 1, "/pond%ef%bc%8e": 1, "/pond%ef%bc%9bx": 1,
				"/%e2%84%aaiosk/deep": 2 + 1, "/kiosK;x/Deep/": 3, "/kio%c5%bfk/deep": 3, "/k%c4%b1osk/deep": 3, "/k%c4%b0osk/deep": 3, "/kiosk%ef%bc%8fdeep": 3, "/kiosk%ef%bc%bcdeep": 3,
				"/admin": 2, "/ADMIN/x": 2, "/admin;a/x": 2, "/admin./x": 2, "/admin%20/x": 2, "/Admin%20;a/X/Y.": 2, "/;/ADMIN/x": 2, "/adm%C4%B1n/x": 2, "/admin%3f/x": 2,
				"/pon": 4, "/pond/x": 4, "/pondx": 4, "/pond.x": 4, "/x;/pond": 4, "/PONDS": 4, "/administer": 4, "/%C3%9Fpond": 4, "/": 4, "/;x": 4, "/.well-known/x": 4, "/a..b": 4,
				"/...": 0, "/%20": 0, "/.%20/pond": 0, "/pond/..%20": 0, "/x/..%20/pond": 0, "/x/%ef%bc%8e%ef%bc%8e/pond": 0, "/x%3f/..%20/pond": 0, "/x/.%e2%80%8b./pond": 0, "/x/.%cc%88./pond": 0, "/x/%e2%80%a5/pond": 0, "/x/...;y/pond": 0, "/pond/%2e": 0,
				"//pond": 0, "/x/..;/pond": 0, "/pond%2f": 0, "/x%5cpond": 0, "/pond%00": 0, "/%c0%af": 0, "/%1pond": 0, "/%2570ond": 0,
			},
		},
		{ // A route counts for every spelling of its path, however the file spells it.
			`{path: /Pond, policy: session}, {path: /login/, policy: session}, {prefix: /API/, policy: session}, {path: "/a;b", policy: session}, {path: /€uro/Größe, policy: session}, {prefix: /, policy: public, upstream: a}`,
			map[string]int{
				"/Pond": 1, "/pond": 1, "/POND/": 1, "/login": 2, "/login/": 2, "/Login.": 2, "/api": 3, "/api/": 3, "/api/x": 3, "/API": 3, "/a": 4, "/a;c": 4, "/A/": 4,
				"/%e2%82%acuro/gr%c3%b6%c3%9fe": 5, "/%e2%82%acURO/GRO%cc%88SSE": 5, "/apis": 6,
			},
		},
		{ // A path that is spelled as in the policy matches that route only.
			`{prefix: /admin, policy: "role:admin"}, {prefix: /admin/Public, policy: public}, {prefix: /, policy: session}, {path: /login/, policy: public}, {prefix: /static/, policy: public, upstream: a}`,
			map[string]int{
				"/admin/Public": 2, "/admin/Public/x": 2, "/admin/Public/X/y;z": 2, "/admin/Public/": 2, "/login/": 4, "/static/": 5, "/static/A.css": 5, "/static/a;b/": 5,
				"/admin/public": 1, "/ADMIN/Public": 1, "/admin;x/Public": 1, "/admin/PUBLIC/x": 1, "/login": 3, "/LOGIN/": 3, "/static": 3, "/Static/a.css": 3,
			},
		},
		{ // Even if a wider route is spelled differently.
			`{prefix: /SAML/Login, policy: public}, {prefix: /saml, policy: session}, {prefix: /, policy: optional, upstream: a}`,
			map[string]int{"/SAML/Login": 1, "/SAML/Login/x": 1, "/SAML/login": 2, "/saml/Login": 2, "/SAML": 2},
		},
		{ // Two spellings of one path: the stricter route. Below /a/: the longer prefix.
			`{path: /pond, policy: public}, {path: /POND, policy: session}, {prefix: /a/, policy: public}, {prefix: /a, policy: session}, {path: /b, policy: public}, {prefix: /b, policy: session}, {prefix: /, policy: optional, upstream: a}`,
			map[string]int{
				"/pond": 2, "/POND": 2, "/Pond": 2, "/a": 4, "/a/": 4, "/a/;x": 4, "/a/b": 3, "/a/B/": 3, "/A/b": 4, "/b": 5, "/b/": 6, "/B": 6, "/b;": 6, "/b/x": 6,
			},
		},
		{ // The stricter policy, then the more recent sign-in. If neither is stricter, no route.
			`{path: /x, policy: "role:a"}, {path: /X, policy: "role:b"}, {path: /y, policy: session, fresh: 10m}, {path: /Y, policy: session, fresh: 5m}, {path: /z, policy: "role:a"}, {path: /Z, policy: session, fresh: 5m}, {path: /v, policy: "role:a"}, {path: /V, policy: session, fresh: 5m}, {path: /v/, policy: "role:a", fresh: 1m}, {path: /w, policy: public}, {path: /W, policy: optional, upstream: a}`,
			map[string]int{"/x": 0, "/X": 0, "/y": 4, "/Y": 4, "/z": 0, "/Z": 0, "/v": 9, "/V": 9, "/v/": 9, "/w": 11, "/W": 11},
		},
		{ // Fewer classes are stricter; different ones are not comparable.
			`{path: /x, policy: session, acr: [a, b]}, {path: /X, policy: session, acr: [b]}, {path: /y, policy: session}, {path: /Y, policy: session, acr: [b]}, {path: /z, policy: session, acr: [a]}, {path: /Z, policy: session, acr: [b], upstream: a}`,
			map[string]int{"/x": 2, "/X": 2, "/y": 4, "/Y": 4, "/z": 0, "/Z": 0},
		},
		{ // No route for the path as it is written: no route at all.
			`{path: /pond, policy: session}, {prefix: /a/b, policy: public, upstream: a}`,
			map[string]int{"/POND": 0, "/pond/": 0, "/A/b": 0, "/a/b/": 2, "/": 0},
		},
		{ // Everything except one page is protected.
			`{path: /, policy: public}, {prefix: /, policy: session, upstream: a}`,
			map[string]int{"/": 1, "/;x": 2, "/x": 2, "/%3f": 2},
		},
	} {
		table := parse(t, c.routes)
		for target, want := range c.want {
			if got := decided(table, "GET", target); got != want {
				t.Errorf("%s\n%s: route %d, want %d", c.routes, target, got, want)
			}
		}
	}
}

func TestMethodsAreMatchedAsServersReadThem(t *testing.T) {
	table := parse(t, `{path: /pond, methods: [GET], policy: session}, {path: /pond, methods: [POST], policy: "role:keeper"}, {path: /open, methods: [GET], policy: optional}, {path: /open, policy: session}, {prefix: /a, methods: [GET, HEAD], policy: session}, {prefix: /, policy: public, upstream: a}`)
	for request, want := range map[string]int{
		"GET /pond": 1, "HEAD /pond": 1, "HEAD /POND": 1, "POST /pond": 2, "POST /Pond/": 2, "PUT /pond": 6, "PUT /POND": 6,
		"GET /open": 3, "HEAD /open": 3, "HEAD /OPEN": 3, "POST /Open": 4, "HEAD /a": 5, "POST /a": 6,
		"get /pond": 0, "Post /pond": 0, "head /x": 0, "GEt /open": 0,
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := decided(table, method, target); got != want {
			t.Errorf("%s: route %d, want %d", request, got, want)
		}
	}
	_, err := route.Parse([]byte("upstreams: {a: \"http://a\"}\nroutes: [{path: /x, methods: [HEAD, POST], upstream: a, policy: public}, {path: /..., upstream: a, policy: public}]"))
	if err == nil || !strings.Contains(err.Error(), "method HEAD has no effect") || !strings.Contains(err.Error(), "dots and spaces") {
		t.Errorf("Parse = %v, want errors about HEAD and about dots", err)
	}
}

func TestWarnings(t *testing.T) {
	for routes, want := range map[string][]string{
		`{path: /pond, policy: session}, {path: /Pond, policy: optional, upstream: a}`:                                                    {"route 1 (path /pond) and route 2 (path /Pond)", "by route 1"},
		`{path: /pond, policy: public}, {path: /pond/, policy: session, upstream: a}`:                                                     {"route 1 (path /pond) and route 2 (path /pond/)", "by route 2"},
		`{prefix: "/a;b", policy: public}, {prefix: /a, policy: "role:x", upstream: a}`:                                                   {"route 1 (prefix /a;b) and route 2 (prefix /a)", "by route 2"},
		`{path: /x, methods: [POST], policy: "role:a"}, {path: /X., policy: "role:b", upstream: a}`:                                       {"route 1 (path /x, POST only) and route 2 (path /X.)", "get 404"},
		`{path: /x, methods: [POST], policy: session}, {path: /X, methods: [GET, HEAD], policy: public, upstream: a}`:                     nil,
		`{path: /x, policy: session}, {path: /X, policy: session}, {prefix: /x/, policy: session, upstream: a}`:                           nil,
		`{prefix: /static/, policy: public}, {prefix: /, policy: session, upstream: a}`:                                                   {"route 1 (prefix /static/) admits visitors whom route 2 (prefix /) refuses at /static"},
		`{path: /SAML/Login, policy: public}, {prefix: /saml, policy: "role:x", upstream: a}`:                                             {"route 1 (path /SAML/Login) admits visitors whom route 2 (prefix /saml) refuses at /saml/login"},
		`{path: "/api/*", policy: session}, {prefix: /, policy: optional, upstream: a}`:                                                   {"route 1 (path /api/*): * is no wildcard"},
		`{prefix: "/*", policy: session, upstream: a}`:                                                                                    {"route 1 (prefix /*): * is no wildcard"},
		`{prefix: /static/, policy: public}, {prefix: /, policy: optional, upstream: a}`:                                                  nil,
		`{prefix: /admin/, policy: session}, {path: /pond, policy: session}, {prefix: /, policy: optional, upstream: a}`:                  nil,
		`{path: /, policy: public}, {prefix: /, policy: session}, {path: /a, policy: public}, {prefix: /a, policy: session, upstream: a}`: nil,
	} {
		got := parse(t, routes).Warnings()
		if len(got) != min(len(want), 1) {
			t.Errorf("%s: %q, want %q", routes, got, want)
			continue
		}
		for _, part := range want {
			if !strings.Contains(got[0], part) {
				t.Errorf("%s: %q, want %q", routes, got, part)
			}
		}
	}
}

// respell returns another spelling of path, as directed by choices: two bytes for each segment and
// its suffixes.
func respell(path string, choices []byte) string {
	next := func() byte {
		if len(choices) == 0 {
			return 0
		}
		c := choices[0]
		choices = choices[1:]
		return c
	}
	forms := map[rune]string{'k': "K", 's': "ſ", 'i': "ı", 'a': "ａ", 'e': "é", 'o': "o\u0308", 'd': "\u00add", 't': "T\u200b"}
	var b strings.Builder
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if next()%8 == 1 {
			b.WriteString("/;" + []string{"", "x", "x=.", "%"}[next()%4])
		}
		b.WriteByte('/')
		how := next()
		for i, c := range segment {
			switch form, ok := forms[c]; {
			case how&1 != 0 && (how>>4&1 == 0 || i == 0):
				b.WriteString(strings.ToUpper(string(c)))
			case how&2 != 0 && ok:
				b.WriteString(form)
			default:
				b.WriteRune(c)
			}
		}
		if segment != "" && how&4 != 0 {
			b.WriteString([]string{".", " ", "..", ". .", "\u3000", "．", "\u00a0.", "\ufeff"}[next()%8])
		}
		if segment != "" && how&8 != 0 {
			b.WriteString([]string{";", ";x", ";x=1,2;y", "；", ";.", "; ", ";ſ", ";%"}[next()%8])
		}
	}
	b.WriteString([]string{"", "/", "/;", "?", "#x", "/?y"}[next()%6])
	return b.String()
}

// visitors returns visitors that differ in everything that some policy of table may require.
func visitors(table *route.Table, now time.Time) []route.Visitor {
	all := []route.Visitor{{}}
	_, reasons := table.Explain("\x00", "\x00") // lists all routes
	for _, mine := range reasons {
		for _, yours := range reasons {
			v := route.Visitor{SignedIn: true, AuthTime: now.Add(-yours.Route.MaxAge())}
			if role := mine.Route.Policy.Role(); role != "" {
				v.Roles = []string{role}
			}
			all = append(all, v)
		}
	}
	return all
}

// checkSpelling fails if some visitor passes at another spelling of path who does not pass at path,
// unless a route names that spelling and not path.
func checkSpelling(t *testing.T, table *route.Table, method, path string, choices []byte) {
	t.Helper()
	spelled, err := http1.ReadTarget(method, (&url.URL{Path: respell(path, choices)}).EscapedPath())
	if err != nil {
		return
	}
	named := func(r *route.Route) bool { return fits(r, method, spelled) && !fits(r, method, path) }
	got, reasons := table.Explain(method, spelled)
	if got == nil || named(got) || slices.ContainsFunc(reasons, func(r route.Reason) bool { return named(r.Route) }) {
		return
	}
	want := table.Match(method, path)
	now := time.Now()
	for _, v := range visitors(table, now) {
		if got.Judge(v, now) == route.Pass && (want == nil || want.Judge(v, now) != route.Pass) {
			t.Fatalf("%s %q as %q matches %v: %+v passes, want refused as at %v", method, path, spelled, got, v, want)
		}
	}
	if got.Policy == route.Public && (want == nil || want.Policy != route.Public) {
		t.Fatalf("%s %q as %q is public: %v, want %v", method, path, spelled, got, want)
	}
}

// paths returns path, the paths of table's routes, and some paths below them.
func paths(table *route.Table, path string) []string {
	_, reasons := table.Explain("\x00", "\x00")
	all := []string{path}
	for _, r := range reasons {
		all = append(all, r.Route.Path+r.Route.Prefix)
		if r.Route.Prefix != "" {
			all = append(all, strings.TrimSuffix(r.Route.Prefix, "/")+"/kiosk", strings.TrimSuffix(r.Route.Prefix, "/")+"/kiosk/side")
		}
	}
	return all
}

// FuzzSpelling checks for every policy that no spelling of a path is decided more openly than the
// path.
func FuzzSpelling(f *testing.F) {
	for i, lines := range []string{
		`{path: /pond, policy: session}, {prefix: /admin, policy: "role:admin", fresh: 15m}, {prefix: /, policy: optional, upstream: a}`,
		`{path: /pond, policy: public}, {prefix: /pond, policy: session}, {prefix: /pond/, policy: "role:a"}, {prefix: /pond/Kiosk, policy: public}, {prefix: /, policy: optional, upstream: a}`,
		`{prefix: /a/, policy: public}, {prefix: /a, policy: session}, {prefix: /A, methods: [GET], policy: "role:a"}, {path: /a/b/, policy: "role:b", fresh: 1m}, {prefix: /, policy: session, fresh: 1h, upstream: a}`,
		`{path: /, policy: public}, {prefix: /, policy: session}, {path: /login/, policy: public}, {path: "/side;x/kiosk", policy: public, upstream: a}`,
	} {
		text := "upstreams: {a: \"http://a\"}\nroutes: [" + strings.ReplaceAll(lines, "}, {", ", upstream: a}, {") + "]"
		for seed := range 64 {
			choices := make([]byte, 12)
			for j := range choices {
				choices[j] = byte((seed + 1) * (j*j*31 + 7*j + 13) >> (j % 3) * (i + 1))
			}
			f.Add(text, []string{"GET", "HEAD", "POST"}[seed%3], []string{"/pond/kiosk/side", "/a/b", "/"}[seed%3], choices)
		}
	}
	f.Add(policy, "GET", "/admin/users", []byte{0, 1})
	f.Fuzz(func(t *testing.T, text, method, target string, choices []byte) {
		table, err := route.Parse([]byte(text))
		if err != nil {
			return
		}
		path, err := http1.ReadTarget(method, target)
		if err != nil {
			return
		}
		for _, p := range paths(table, path) {
			checkSpelling(t, table, method, p, choices)
		}
	})
}

func TestNoSpellingIsDecidedMoreOpenly(t *testing.T) {
	table := parse(t, `{path: /pond, policy: session}, {prefix: /kiosk/side, policy: "role:a", fresh: 1m}, {prefix: /kiosk, policy: session, fresh: 5m}, {prefix: /Side/, policy: session}, {path: /side/kiosk, policy: "role:b"}, {prefix: /, policy: public, upstream: a}`)
	for a := range 32 {
		for b := range 32 {
			choices := []byte{byte(b), byte(a), byte(a + b), byte(b * 3), byte(a * 5), byte(b), byte(a ^ b), byte(b >> 2)}
			for _, p := range paths(table, "/side/pond") {
				checkSpelling(t, table, "GET", p, choices)
			}
		}
	}
}
