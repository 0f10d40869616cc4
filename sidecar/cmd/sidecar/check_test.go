package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lilypad.example/services/pkg/config"
)

const routes = `upstreams:
  app: http://127.0.0.1:8081
routes:
  - {prefix: /static/, upstream: app, policy: public}
  - {path: /join, upstream: app, policy: optional}
  - {prefix: /pond, methods: [POST], upstream: app, policy: session, deny: {text: Login to pet the phrog 👀, page: /join}}
  - {prefix: /admin, upstream: app, policy: "role:admin", fresh: 15m}
  - {prefix: /, methods: [GET], upstream: app, policy: optional}
`

func run(t *testing.T, text string, args ...string) (code int, out, faults string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = config.Run(t.Context(), new(cli), config.Program{
		Name: "sidecar", Args: append([]string{"check", file}, args...), Stdout: &stdout, Stderr: &stderr,
	})
	return code, stdout.String(), stderr.String()
}

func TestAGoodFileIsGood(t *testing.T) {
	if code, out, faults := run(t, routes); code != 0 || !strings.HasSuffix(out, "routes.yaml is good\n") {
		t.Errorf("exit code %d, output %s%s, want 0 and that the file is good", code, out, faults)
	}
}

func TestAFileThatDependsOnSpellingIsWarnedOf(t *testing.T) {
	code, out, faults := run(t, routes+"  - {path: /Static, upstream: app, policy: session}\n")
	if code != 0 || !strings.HasPrefix(out, "warning: route 1 (prefix /static/) and route 6 (path /Static) differ only in spelling") || !strings.HasSuffix(out, "routes.yaml is good\n") {
		t.Errorf("exit code %d, output %s%s, want 0 and a warning about spelling", code, out, faults)
	}
	if _, out, _ := run(t, routes); strings.Contains(out, "warning") {
		t.Errorf("warning for a policy without such routes: %s", out)
	}
	const split = "upstreams: {a: \"http://a\"}\nroutes: [{path: /x, upstream: a, policy: \"role:a\"}, {path: /X, upstream: a, policy: \"role:b\"}]"
	if _, out, _ := run(t, split, "GET", "/x"); !strings.HasPrefix(out, "GET /x gets 404: none of its routes is at least as strict as each other one") || strings.Count(out, "read as /x") != 2 {
		t.Errorf("two routes of which neither is stricter: %s, want 404 and both readings", out)
	}
}

func TestEachFaultIsALine(t *testing.T) {
	code, out, faults := run(t, routes+"  - {path: /x, upstream: nowhere, policy: nobody}\n")
	if code != 1 || out != "" || strings.Count(faults, "routes.yaml: route 6 (/x): ") != 2 {
		t.Errorf("exit code %d, output %s%s, want 1 and two errors of route 6", code, out, faults)
	}
}

func TestWhatTheAppGetsIsExplained(t *testing.T) {
	const routes = `upstreams:
  wiki: {url: "https://wiki", headers: {X-Forwarded-User: sub, X-Forwarded-Email: email}}
routes:
  - {prefix: /wiki, strip: true, upstream: wiki, policy: session}
  - {prefix: /, upstream: wiki, policy: public}
`
	for path, want := range map[string]string{
		"/wiki/x": "\nThe app gets the path /x, and X-Forwarded-Prefix: /wiki\n\nFor a signed-in user the app gets X-Forwarded-Email (email), X-Forwarded-User (sub)\n",
		"/WIKI/x": "\nEverybody gets 404: the path is not spelled like the prefix that is stripped\n",
	} {
		if code, out, faults := run(t, routes, "GET", path); code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "upstream wiki at https://wiki:443") {
			t.Errorf("%s: exit code %d, output\n%s%s\nwant\n%s", path, code, out, faults, want)
		}
	}
}

func TestARequestIsExplained(t *testing.T) {
	for request, want := range map[string]string{
		"GET /admin/users?tab=1": `
GET /admin/users takes route 4 (prefix /admin): policy role:admin, upstream app at 127.0.0.1:8081

a stranger                a page: 303 to the login page; a fetch or a program: 401
a signed-in user          403
with role admin           passes, with a token
signed in over 15m ago    a page: 303 to the login page; a fetch or a program: 401 that asks for a login of the last 15m

not route 1  prefix /static/            another path
not route 2  path /join                 another path
not route 3  prefix /pond, POST only    another path
not route 5  prefix /, GET only         route 4 has a longer prefix
`,
		"POST /pond/frog": `
POST /pond/frog takes route 3 (prefix /pond, POST only): policy session, upstream app at 127.0.0.1:8081

a stranger         401 "Login to pet the phrog 👀"
a signed-in user   passes, with a token
from another site  403, whoever it is

not route 1  prefix /static/     another path
not route 2  path /join          another path
not route 4  prefix /admin       another path
not route 5  prefix /, GET only  another method
`,
		"GET /static/a%20b": `
GET /static/a b takes route 1 (prefix /static/): policy public, upstream app at 127.0.0.1:8081

a stranger        passes, without a token: no session is looked up
a signed-in user  passes, without a token: no session is looked up

not route 2  path /join               another path
not route 3  prefix /pond, POST only  another path
not route 4  prefix /admin            another path
not route 5  prefix /, GET only       route 1 has a longer prefix
`,
		"DELETE /x": `
DELETE /x gets 404: no route is for it

not route 1  prefix /static/          another path
not route 2  path /join               another path
not route 3  prefix /pond, POST only  another path
not route 4  prefix /admin            another path
not route 5  prefix /, GET only       another method
`,
		"HEAD /ADMIN;a/x": `
HEAD /ADMIN;a/x takes route 4 (prefix /admin): policy role:admin, upstream app at 127.0.0.1:8081

a stranger                a page: 303 to the login page; a fetch or a program: 401
a signed-in user          403
with role admin           passes, with a token
signed in over 15m ago    a page: 303 to the login page; a fetch or a program: 401 that asks for a login of the last 15m

Servers may read this path in more than one way; the strictest of these routes decides:
read as /ADMIN;a/x  route 5  prefix /, GET only  policy optional
read as /admin/x    route 4  prefix /admin       policy role:admin, fresh 15m

not route 1  prefix /static/            another path
not route 2  path /join                 another path
not route 3  prefix /pond, POST only    another path
not route 5  prefix /, GET only         route 4 is stricter
`,
		"GET /join/": `
GET /join/ takes route 5 (prefix /, GET only): policy optional, upstream app at 127.0.0.1:8081

a stranger        passes, as a stranger
a signed-in user  passes, with a token

Servers may read this path in more than one way; the strictest of these routes decides:
read as /join/  route 5  prefix /, GET only  policy optional
read as /join   route 2  path /join          policy optional

not route 1  prefix /static/          another path
not route 2  path /join               route 5 is as strict, and comes first
not route 3  prefix /pond, POST only  another path
not route 4  prefix /admin            another path
`,
		"DELETE /POND": `
DELETE /POND gets 404: no route is for it

not route 1  prefix /static/          another path
not route 2  path /join               another path
not route 3  prefix /pond, POST only  another method
not route 4  prefix /admin            another path
not route 5  prefix /, GET only       another method
`,
		"GET /.../": `
GET /.../ gets 404: a path segment must not consist of dots and spaces: some servers drop it or read it as ".."

not route 1  prefix /static/          refused before routes are compared
not route 2  path /join               refused before routes are compared
not route 3  prefix /pond, POST only  refused before routes are compared
not route 4  prefix /admin            refused before routes are compared
not route 5  prefix /, GET only       refused before routes are compared
`,
		"GET /auth/session": `
GET /auth/session is the sidecar's own: /auth/ is never the application's, whatever the file says
`,
	} {
		code, out, faults := run(t, routes, strings.Fields(request)...)
		if code != 0 || squeeze(out) != squeeze(want[1:]) {
			t.Errorf("%s: exit code %d, got\n%s%s\nwant\n%s", request, code, out, faults, want[1:])
		}
	}
}

func TestARouteForCertainClassesIsExplained(t *testing.T) {
	const want = `
GET /vault takes route 6 (path /vault): policy session, upstream app at 127.0.0.1:8081

a stranger                            a page: 303 to the login page; a fetch or a program: 401
a signed-in user                      passes, with a token
signed in over 5m ago                 a page: 303 to the login page; a fetch or a program: 401 that asks for a login of the last 5m with acr gold or silver
signed in without acr gold or silver  a page: 303 to the user's identity provider (after a password: 401); a fetch or a program: 401 that asks for a login of the last 5m with acr gold or silver

not route 1  prefix /static/            another path
not route 2  path /join                 another path
not route 3  prefix /pond, POST only    another path
not route 4  prefix /admin              another path
not route 5  prefix /, GET only         route 6 is for this very path
`
	code, out, faults := run(t, routes+"  - {path: /vault, upstream: app, policy: session, fresh: 5m, acr: [gold, silver]}\n", "GET", "/vault")
	if code != 0 || squeeze(out) != squeeze(want[1:]) {
		t.Errorf("exit code %d, got\n%s%s\nwant\n%s", code, out, faults, want[1:])
	}
}

// squeeze removes the alignment of columns.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestARequestThatIsRefusedBeforeAnyRouteIsExplainedToo(t *testing.T) {
	for request, want := range map[string]string{
		"GET /a/../b":  "GET /a/../b gets 400: the path is ambiguous\n",
		"GET /a%2f..":  "GET /a%2f.. gets 400: the path is ambiguous\n",
		"TRACE /":      "TRACE / gets 501: method TRACE is not supported: it would echo credentials\n",
		"GET /a#b":     "GET /a#b gets 400: the request target contains a fragment, white space, a control character or a non-ASCII character\n",
		"CONNECT /a":   "CONNECT /a gets 400: the request target must be an absolute path, or a URL of this host\n",
		"G:T /account": "G:T /account gets 400: the request line is not: method, space, target, space, version\n",
	} {
		if code, out, faults := run(t, routes, strings.Fields(request)...); code != 0 || out != want || faults != "" {
			t.Errorf("%s: exit code %d, output %s%s, want 0 and %s", request, code, out, faults, want)
		}
	}
}

func TestARequestHasAMethodAndAPath(t *testing.T) {
	for request, want := range map[string]string{
		"GET":                   "a request has a method and a path: sidecar check routes.yaml GET /account",
		"GET admin":             "the path must begin with /, for example /admin",
		"GET http://pond/admin": "the path must begin with /, for example /admin",
	} {
		if code, _, faults := run(t, routes, strings.Fields(request)...); code != 1 || faults != "sidecar: "+want+"\n" {
			t.Errorf("%s: exit code %d, error %s, want 1 and %s", request, code, faults, want)
		}
	}
}

func TestAFileThatCannotBeReadIsNamedOnce(t *testing.T) {
	var stderr bytes.Buffer
	code := config.Run(t.Context(), new(cli), config.Program{Name: "sidecar", Args: []string{"check", "/nowhere.yaml"}, Stderr: &stderr})
	if code != 1 || strings.Count(stderr.String(), "/nowhere.yaml") != 1 {
		t.Errorf("exit code %d, error %s, want 1 and the file named once", code, &stderr)
	}
	for text, want := range map[string]string{
		"routes: []": "routes.yaml: there is no route", "routes: [": "routes.yaml: yaml: line 1", "route: x": `routes.yaml: unknown field "route": use brand, upstreams or routes`,
	} {
		if code, _, faults := run(t, text); code != 1 || !strings.Contains(faults, want) {
			t.Errorf("%s: exit code %d, error %s, want 1 and %s", text, code, faults, want)
		}
	}
}

// The running sidecar rejects such a policy too.
func TestAPolicyThatClosesTheLoginPageIsRefused(t *testing.T) {
	const policy = "upstreams: {a: \"http://127.0.0.1:1\"}\nroutes: "
	for _, c := range []struct{ text, flags, want string }{
		{"[{prefix: /, upstream: a, policy: session}]", "", ""}, // the auth service has the page
		{"[{prefix: /, upstream: a, policy: session}]", "--login-path=/login", "LILYPAD_LOGIN_PATH /login is not open to strangers: route 1 (prefix /) must have policy public or optional"},
		{"[{prefix: /, upstream: a, policy: session}, {path: /login, upstream: a, policy: public}]", "--login-path=/login", ""},
		{"[{prefix: /, upstream: a, policy: optional}, {prefix: /in, upstream: a, policy: \"role:x\"}]", "--login-path=/in/here", "LILYPAD_LOGIN_PATH /in/here is not open to strangers: route 2 (prefix /in) must"},
		{"[{prefix: /api, upstream: a, policy: session}]", "", ""},
	} {
		code, out, faults := run(t, policy+c.text, strings.Fields(c.flags)...)
		if (code == 0) != (c.want == "") || !strings.Contains(faults, c.want) {
			t.Errorf("%s %s: exit code %d, output %s%s, want error %q", c.text, c.flags, code, out, faults, c.want)
		}
	}
}

func TestTheHelpOfCheckShowsARequest(t *testing.T) {
	var out bytes.Buffer
	code := config.Run(t.Context(), new(cli), config.Program{Name: "sidecar", Args: []string{"check", "--help"}, Stdout: &out})
	for _, want := range []string{"Example: sidecar check routes.yaml GET /account", "Method of a request to explain", "Path of that request"} {
		if code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("exit code %d, want 0 and %q in\n%s", code, want, &out)
		}
	}
}

func TestALoginPageThatNoRouteServesIsAWarning(t *testing.T) {
	const policy = "upstreams: {a: \"http://127.0.0.1:1\"}\nroutes: [{prefix: /api, upstream: a, policy: session}]"
	const want = "warning: no route is for the login page, LILYPAD_LOGIN_PATH /login: nobody can sign in"
	for flags, warned := range map[string]bool{"": false, "--login-path=/login": true} {
		if code, out, _ := run(t, policy, strings.Fields(flags)...); code != 0 || strings.Contains(out, want) != warned {
			t.Errorf("%s: exit code %d, output %s, want a warning: %t", flags, code, out, warned)
		}
	}
}

func TestABrandIsCheckedWithThePolicy(t *testing.T) {
	const routes = "upstreams: {a: \"http://127.0.0.1:1\"}\nroutes: [{prefix: /, upstream: a, policy: session}, {prefix: /static/, upstream: a, policy: public}]\n"
	for brand, want := range map[string]string{
		`{name: Pond, logo: /static/pond.svg, color: "#336699", links: [{text: Help, url: /help}]}`: "",
		`{logo: /pond.svg}`:                         "brand.logo /pond.svg must be on a route with policy public or optional",
		`{color: green}`:                            `brand.color "green" must be`,
		`{links: [{text: Help, href: /help}]}`:      `unknown field "brand.links[0].href": use text or url`,
		`{colour: green}`:                           `unknown field "brand.colour": use name, logo, color or links`,
		`{links: {Help: /help}}`:                    "brand.links must be a list",
		`{links: [{text: x, url: "javascript:x"}]}`: "brand.links[0].url",
	} {
		if code, _, faults := run(t, routes+"brand: "+brand); (code == 0) != (want == "") || !strings.Contains(faults, want) {
			t.Errorf("%s: exit code %d, error %s, want %q", brand, code, faults, want)
		}
	}
}
