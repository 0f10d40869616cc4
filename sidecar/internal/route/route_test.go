package route_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
)

const policy = `
upstreams:
  app: http://127.0.0.1:8081
  frogs: http://frogs
routes:
  - {path: /login, upstream: app, policy: public}
  - {prefix: /static/, upstream: app, policy: public}
  - {prefix: /api/frogs, upstream: frogs, policy: session}
  - {prefix: /api/frogs, methods: [GET], upstream: frogs, policy: optional}
  - {path: /account, upstream: app, policy: session}
  - {prefix: /admin, upstream: app, policy: "role:admin", fresh: 15m, deny: {text: "Only <keepers> 🐸", page: /login}}
  - {prefix: /, upstream: app, policy: optional}
`

func TestTheMostSpecificRouteMatches(t *testing.T) {
	table, err := route.Parse([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]route.Policy{
		"GET /":             route.Optional,
		"GET /login":        route.Public,
		"POST /login":       route.Public,
		"GET /login/":       route.Optional,
		"GET /Login":        route.Optional,
		"GET /loginx":       route.Optional,
		"GET /static/a.css": route.Public,
		"GET /static":       route.Optional,
		"GET /staticx":      route.Optional,
		"GET /api/frogs":    route.Optional,
		"POST /api/frogs":   route.Session,
		"POST /api/frogs/x": route.Session,
		"POST /api/frogsx":  route.Optional,
		"GET /account":      route.Session,
		"GET /account/":     route.Session,
		"HEAD /api/frogs":   route.Optional,
		"GET /admin":        "role:admin",
		"GET /admin/users":  "role:admin",
		"GET /administer":   route.Optional,
	} {
		method, path, _ := strings.Cut(request, " ")
		if r := table.Match(method, path); r == nil || r.Policy != want {
			t.Errorf("%s: %+v, want %s", request, r, want)
		}
	}
	if got := table.Upstreams()["frogs"].String(); got != "frogs:80" {
		t.Errorf("upstream frogs is %s, want frogs:80", got)
	}
}

func TestMatchWithoutARouteIsNil(t *testing.T) {
	table, err := route.Parse([]byte("upstreams: {a: \"http://a:1\"}\nroutes: [{path: /x, upstream: a, policy: public}]"))
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Match("GET", "/"); r != nil {
		t.Errorf("Match = %+v, want nil", r)
	}
}

func TestOpenToStrangers(t *testing.T) {
	table, err := route.Parse([]byte(`
upstreams: {app: "http://app"}
routes:
  - {path: /login, upstream: app, policy: public}
  - {path: /home, upstream: app, policy: optional}
  - {path: /form, methods: [POST], upstream: app, policy: public}
  - {path: /account, upstream: app, policy: session}
  - {path: /admin, upstream: app, policy: "role:admin"}
`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/login": true, "/home": true, "/form": false, "/account": false, "/admin": false, "/nowhere": false, "/.../": false,
	} {
		if table.OpenToStrangers(path) != want {
			t.Errorf("OpenToStrangers(%s) = %v, want %v", path, !want, want)
		}
	}
}

func TestParseReportsAllErrors(t *testing.T) {
	_, err := route.Parse([]byte(`
upstreams: {app: "ftp://app", other: "http://user@x/"}
routes:
  - {path: /a, prefix: /a, upstream: app, policy: public}
  - {path: a, upstream: nowhere, policy: nobody}
  - {prefix: /auth/login, upstream: app, policy: "role:"}
  - {path: /%61, upstream: app, methods: [get], policy: public}
  - {path: /a/../b, upstream: app, policy: public, fresh: 15m, deny: {text: x}}
  - {path: /c, upstream: app, methods: [TRACE], policy: session, fresh: 1.5s, deny: {text: "a\nb", page: //evil.test}}
  - {path: /d, upstream: app, policy: optional, acr: [gold]}
  - {path: /e, upstream: app, policy: session, acr: []}
  - {path: /f, upstream: app, policy: session, acr: ["a b", 'a"b', "", silver, silver]}
`))
	if err == nil {
		t.Fatal("Parse = nil, want errors")
	}
	for _, want := range []string{
		"upstream app", "upstream other", "route 1", "route 2", "nowhere", "nobody", "belongs to the sidecar", `"role:"`, `"get"`, "/%61",
		"/a/../b", "fresh has no effect", "deny has no effect", `"TRACE"`, `"1.5s"`, "deny.text", "//evil.test",
		"acr has no effect", "acr must list", `acr value "a b"`, `acr value "a\"b"`, `acr value ""`, `acr value "silver" is there twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), `upstream "app" is not defined`) {
		t.Errorf("routes of an invalid upstream are reported as undefined, want only the upstream:\n%v", err)
	}
	for _, text := range []string{
		"", "routes: []", "colour: green", "upstreams: {a: \"http://a\"}\nroutes: [{path: /, upstream: a, policy: public}, {path: /, upstream: a, policy: session}]",
		"upstreams: {a: \"http://a\"}\nroutes: [{path: /, upstream: a, methods: [GET, POST], policy: public}, {path: /, upstream: a, methods: [GET], policy: session}]",
		"upstreams: {a: \"http://a\"}\nroutes: [{path: /, upstream: a, policy: session, deny: {text: " + strings.Repeat("x", 201) + "}}]",
	} {
		if _, err := route.Parse([]byte(text)); err == nil {
			t.Errorf("Parse(%q) = nil, want an error", text)
		}
	}
}

func TestErrorsNameTheirRoute(t *testing.T) {
	const upstreams = "upstreams: {app: \"http://app\"}\n"
	for text, want := range map[string][]string{
		upstreams + "routes: [{path: /a, upstream: app, policy: public, method: [GET]}, {path: /b, upstream: app, policy: nobody}]": {
			`route 1 (/a): unknown field "method": use path, prefix, methods, upstream, strip, policy, fresh, acr, origins, authorization or deny`, `route 2 (/b): unknown policy "nobody": use public, optional, session or role:NAME`,
		},
		upstreams + "routes: [{path: /a, upstream: app, policy: session, deny: {txt: x}, colour: red}]": {
			`route 1 (/a): unknown field "colour": use path, prefix, methods, upstream, strip, policy, fresh, acr, origins, authorization or deny`, `route 1 (/a): unknown field "deny.txt": use text or page`,
		},
		upstreams + "route: []\nroutes: [{Path: /a, upstream: app, policy: public}]": {
			`unknown field "route": use brand, upstreams or routes`, `route 1 (/a): unknown field "Path": use path, prefix, methods, upstream, strip, policy, fresh, acr, origins, authorization or deny`,
		},
		upstreams + "routes: [{path: /a, upstream: app, policy: public, methods: GET}, x, null, {path: /c, upstream: [], policy: public}]": {
			"route 1 (/a): methods must be a list", "route 2 (?): it must be a set of fields", "route 3 (?): set exactly one of path and prefix",
			"route 3 (?): policy is missing: use public, optional, session or role:NAME", "route 3 (?): upstream is missing", "route 4 (/c): upstream must be text",
		},
		upstreams + "routes: {}": {"routes must be a list"},
		upstreams:                {"there is no route: add at least one to routes"},
		"[]":                     {"it must be a set of fields"},
		upstreams + "routes: [{path: /a, path: /b, upstream: app, policy: public}]": {`yaml: unmarshal errors: line 2: key "path" already set in map`},
		upstreams + "routes: [": {"yaml: line 2: did not find expected node content"},
		"upstreams: {a: \"127.0.0.1:3000\", b: \"ftp://b\", c: c, d: \"\", e: \"http://e:x\", f: \"http://f/x\"}\nroutes: [{path: /, upstream: a, policy: public}]": {
			`upstream a: "127.0.0.1:3000" must begin with http://, https:// or unix:/, for example http://127.0.0.1:3000`, `upstream b: "ftp://b" must begin with http://, https:// or unix:/`,
			`upstream c: "c" must begin with http://, https:// or unix:/, for example http://c`, "upstream d: it has no address: use for example http://127.0.0.1:3000",
			`upstream e: "http://e:x" is not a URL: invalid port ":x" after host`, `upstream f: "http://f/x": must be http://host:port and nothing else`,
		},
	} {
		_, err := route.Parse([]byte(text))
		if got, want := fmt.Sprint(err), strings.Join(want, "\n"); got != want {
			t.Errorf("%s\ngives\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestNumbersAreValidText(t *testing.T) {
	table, err := route.Parse([]byte("upstreams: {1: \"http://app\"}\nroutes: [{path: /a, upstream: 1, policy: session, deny: {text: 404}}, {path: \"/a\\u2028b\", upstream: 1, policy: public}]"))
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Match("GET", "/a"); r == nil || r.Deny.Text != "404" {
		t.Errorf("route %+v, want deny.text 404", r)
	}
	if table.Match("GET", "/a\u2028b") == nil {
		t.Error("a path with a line separator matches no route, want one")
	}
}

func TestARouteThatCanNeverMatchIsAnError(t *testing.T) {
	for routes, want := range map[string]string{
		`{path: /a}, {prefix: /a/}, {prefix: /a}`:                                                                       "route 3",
		`{path: /a}, {prefix: /a/, methods: [GET]}, {prefix: /a, methods: [GET]}`:                                       "route 3",
		`{path: /a}, {prefix: /a/, methods: [GET]}, {prefix: /a, methods: [GET, POST]}`:                                 "",
		`{path: /a, methods: [GET]}, {prefix: /a/}, {prefix: /a}`:                                                       "",
		`{prefix: /a/}, {prefix: /a}`:                                                                                   "",
		`{path: /a/}, {prefix: /a/}, {path: /a}, {prefix: /}`:                                                           "",
		`{path: /a, methods: [GET]}, {path: /a, methods: [POST]}, {path: /a}, {prefix: /, methods: [GET]}, {prefix: /}`: "",
	} {
		text := "upstreams: {a: \"http://a\"}\nroutes: [" + strings.ReplaceAll(routes, "}", ", upstream: a, policy: public}") + "]"
		_, err := route.Parse([]byte(text))
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) || want != "" && strings.Count(got, "\n") > 0 {
			t.Errorf("%s: %v, want %q", routes, err, want)
		}
	}
}

func TestDenyPageMustNotRequireASession(t *testing.T) {
	for page, open := range map[string]bool{"/open": true, "/free": true, "/shut": false, "/nowhere": false} {
		_, err := route.Parse([]byte(`
upstreams: {a: "http://a"}
routes:
  - {path: /open, upstream: a, policy: public}
  - {path: /free, upstream: a, policy: optional}
  - {path: /shut, upstream: a, policy: session, deny: {page: ` + page + `}}
`))
		if (err == nil) != open {
			t.Errorf("%s: Parse = %v, want accepted: %v", page, err, open)
		}
	}
}

func TestJudge(t *testing.T) {
	table, err := route.Parse([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	keeper := route.Visitor{SignedIn: true, Roles: []string{"x", "admin"}, AuthTime: now.Add(-15 * time.Minute)}
	stale := keeper
	stale.AuthTime = now.Add(-15*time.Minute - time.Second)
	user := route.Visitor{SignedIn: true, Roles: []string{"administrator"}}
	for _, c := range []struct {
		path string
		who  route.Visitor
		want route.Verdict
	}{
		{"/login", route.Visitor{}, route.Pass},
		{"/", route.Visitor{}, route.Pass},
		{"/", stale, route.Pass},
		{"/account", route.Visitor{}, route.SignIn},
		{"/account", user, route.Pass},
		{"/admin", route.Visitor{}, route.SignIn},
		{"/admin", route.Visitor{Roles: []string{"admin"}}, route.SignIn},
		{"/admin", user, route.Forbid},
		{"/admin", keeper, route.Pass},
		{"/admin", stale, route.SignInAgain},
	} {
		if got := table.Match("GET", c.path).Judge(c.who, now); got != c.want {
			t.Errorf("%s, %+v: %v, want %v", c.path, c.who, got, c.want)
		}
	}
	if r := table.Match("GET", "/admin"); r.MaxAge() != 15*time.Minute || r.Deny.Text != "Only <keepers> 🐸" {
		t.Errorf("route %+v, want fresh 15m and the deny text of the policy", r)
	}
}

func TestAnUpstreamIsAURLOrASetOfFields(t *testing.T) {
	table, err := route.Parse([]byte(`
upstreams:
  short: http://127.0.0.1:8081
  socket: unix:/run/app.sock
  safe: {url: "https://billing.test", ca: /etc/ca.pem, certificate: /etc/tls.crt, key: /etc/tls.key}
  many: {urls: ["http://a:1", "http://b:2", "unix:/run/c.sock"]}
routes: [{prefix: /, upstream: short, policy: public}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"short": "127.0.0.1:8081", "socket": "unix:/run/app.sock", "safe": "https://billing.test:443", "many": "a:1 and b:2 and unix:/run/c.sock",
	} {
		if got := table.Upstreams()[name]; got.String() != want || got.Secure() != (name == "safe") {
			t.Errorf("upstream %s is at %s, secure %v, want %s", name, got, got.Secure(), want)
		}
	}
}

func TestFaultsOfUpstreamsAreReportedAtOnce(t *testing.T) {
	_, err := route.Parse([]byte(`
upstreams:
  a: {url: "http://a", urls: ["http://b"]}
  b: {urls: []}
  c: {}
  d: {urls: ["http://a", "http://a/", "ftp://x", ""]}
  e: {url: "http://a", ca: /ca.pem, colour: red}
  f: {url: "https://a", ca: ca.pem, certificate: /c.pem}
  g: [http://a]
  h: {url: [http://a]}
  i: unix:app.sock
  j: {urls: "http://a"}
  k:
  l: {url: "http://a", headers: {X-User: sub, x-user: email, X_Name: name, Host: sub, X-Forwarded-For: roles, Authorization: sub, Content-Type: sub, X-Any: age, X-*: sub}}
  m: {url: "http://a", headers: [sub]}
routes: [{prefix: /, upstream: a, policy: public}]
`))
	want := strings.Join([]string{
		"upstream a: set exactly one of url and urls",
		"upstream b: urls is empty: add at least one",
		"upstream c: it has no address: use for example http://127.0.0.1:3000",
		`upstream d: "http://a/" is listed twice`,
		`upstream d: "ftp://x" must begin with http://, https:// or unix:/`,
		"upstream d: it has no address: use for example http://127.0.0.1:3000",
		`upstream e: unknown field "colour": use url, urls, ca, certificate, key, token or headers`,
		"upstream e: ca has no effect: only https:// uses it",
		`upstream f: ca "ca.pem" must be the absolute path of a PEM file`,
		"upstream f: set both certificate and key, or neither",
		"upstream g: it must be a URL or a set of fields",
		"upstream h: url must be text",
		`upstream i: "unix:app.sock": must be unix: and the absolute path of a socket, of at most 103 bytes`,
		"upstream j: urls must be a list",
		"upstream k: it has no address: use for example http://127.0.0.1:3000",
		`upstream l: headers: "Authorization" is set by the sidecar or has a meaning of its own`,
		`upstream l: headers: "Content-Type" is set by the sidecar or has a meaning of its own`,
		`upstream l: headers: "Host" is set by the sidecar or has a meaning of its own`,
		`upstream l: headers: "X-*" must consist of letters, digits and dashes`,
		`upstream l: headers: unknown claim "age" of X-Any: use sub, email, name, roles or sid`,
		`upstream l: headers: "X-Forwarded-For" is set by the sidecar or has a meaning of its own`,
		`upstream l: headers: "X_Name" must consist of letters, digits and dashes`,
		`upstream l: headers: "x-user" is there twice`,
		"upstream m: headers must be a set of fields",
	}, "\n")
	if got := fmt.Sprint(err); got != want {
		t.Errorf("Parse gives\n%s\nwant\n%s", got, want)
	}
}

func TestASessionNeedsOneOfTheClassesOfARoute(t *testing.T) {
	table, err := route.Parse([]byte(`
upstreams: {a: "http://a"}
routes:
  - {path: /vault, upstream: a, policy: session, acr: ["urn:gold", "2"], fresh: 1m}
  - {path: /safe, upstream: a, policy: "role:admin", acr: ["2"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, c := range []struct {
		path, acr string
		age       time.Duration
		want      route.Verdict
	}{
		{"/vault", "2", 0, route.Pass},
		{"/vault", "urn:gold", time.Minute, route.Pass},
		{"/vault", "2", time.Hour, route.SignInAgain},
		{"/vault", "", 0, route.SignInAgain},
		{"/vault", "URN:GOLD", 0, route.SignInAgain},
		{"/vault", "urn:gold 2", 0, route.SignInAgain},
		{"/safe", "2", time.Hour, route.Pass},
		{"/safe", "urn:gold", 0, route.SignInAgain},
	} {
		who := route.Visitor{SignedIn: true, Roles: []string{"admin"}, ACR: c.acr, AuthTime: now.Add(-c.age)}
		if got := table.Match("GET", c.path).Judge(who, now); got != c.want {
			t.Errorf("%s with acr %q, signed in %v ago: %v, want %v", c.path, c.acr, c.age, got, c.want)
		}
	}
	if got := table.Match("GET", "/safe").Judge(route.Visitor{SignedIn: true, AuthTime: now}, now); got != route.Forbid {
		t.Errorf("without the role: %v, want Forbid: another sign-in does not give it", got)
	}
}

func TestAPrefixIsStripped(t *testing.T) {
	table, err := route.Parse([]byte("upstreams: {a: \"http://a\"}\nroutes: [{prefix: /wiki, strip: true, upstream: a, policy: public}, {prefix: /a b/, strip: true, upstream: a, policy: public}, {prefix: /, upstream: a, policy: public}]"))
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"/wiki": "/ /wiki true", "/wiki/": "/ /wiki true", "/wiki?a=/b": "/?a=/b /wiki true", "/wiki/a%20b/?c": "/a%20b/?c /wiki true",
		"/w%69ki/x": "/x /wiki true", "/wiki/wiki": "/wiki /wiki true", "/wikis": "/wikis  true", "/a%20b/c": "/c /a%20b true",
		"/WIKI/x": "/WIKI/x  true",
	} {
		path, err := http1.ReadTarget("GET", target)
		if err != nil {
			t.Fatal(err)
		}
		rest, prefix, ok := table.Match("GET", path).Stripped(target, path)
		if got := fmt.Sprint(rest, " ", prefix, " ", ok); got != want {
			t.Errorf("%s becomes %q, want %q", target, got, want)
		}
	}
	table, err = route.Parse([]byte("upstreams: {a: \"http://a\"}\nroutes: [{prefix: /wiki, strip: true, upstream: a, policy: session}, {prefix: /, upstream: a, policy: public}]"))
	if err != nil {
		t.Fatal(err)
	}
	if rest, _, ok := table.Match("GET", "/WIKI/x").Stripped("/WIKI/x", "/WIKI/x"); ok {
		t.Errorf("a path that only some servers read as one of the prefix becomes %q, want it refused", rest)
	}
	for routes, want := range map[string]string{
		"{path: /a, strip: true, upstream: a, policy: public}":                                                     "route 1 (/a): strip needs a prefix: a path is sent as it is",
		"{prefix: /, strip: true, upstream: a, policy: public}":                                                    "route 1 (/): strip has no effect: prefix / is the whole path",
		"{prefix: /a, upstream: a, policy: public, methods: [GET], authorization: drop, origins: [\"https://a\"]}": `route 1 (/a): unknown authorization "drop": use pass, or leave it out` + "\nroute 1 (/a): origins has no effect: the route does not take POST",
		"{prefix: /a, strip: 3, upstream: a, policy: public}":                                                      "route 1 (/a): strip must be true or false",
	} {
		if _, err := route.Parse([]byte("upstreams: {a: \"http://a\"}\nroutes: [" + routes + "]")); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", routes, err, want)
		}
	}
}

func TestOriginsAreSpelledAsBrowsersDo(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://pay.example": true, "http://pay.example:8080": true, "https://[::1]:8443": true, "https://127.0.0.1": true,
		"": false, "null": false, "*": false, "pay.example": false, "https://": false, "https://pay.example/": false, "https://pay.example:443": false,
		"http://pay.example:80": false, "https://Pay.example": false, "HTTPS://pay.example": false, "https://*.example": false, "ftp://pay.example": false,
		"https://user@pay.example": false, "https://pay.example:": false,
	} {
		_, err := route.Parse([]byte("upstreams: {a: \"http://a\"}\nroutes: [{prefix: /, upstream: a, policy: public, origins: [\"" + origin + "\"]}]"))
		if (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), "route 1 (/): origin ") {
			t.Errorf("%q: %v, want accepted: %v", origin, err, ok)
		}
	}
}

func TestTheTokenOfAnUpstreamIsOneOfAList(t *testing.T) {
	for token, want := range map[string]string{
		"own": "<nil>", "none": "<nil>", "provider": "upstream a: token provider is not available: use own or none",
		"all": `upstream a: unknown token "all": use own or none`, "{exchange: x}": "upstream a: token must be text",
	} {
		_, err := route.Parse([]byte("upstreams: {a: {url: \"http://a\", token: " + token + "}}\nroutes: [{prefix: /, upstream: a, policy: public}]"))
		if got := fmt.Sprint(err); got != want {
			t.Errorf("token %s: %s, want %s", token, got, want)
		}
	}
}
