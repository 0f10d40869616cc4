package route_test

import (
	"strings"
	"testing"

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
  - {prefix: /admin, upstream: app, policy: "role:admin"}
  - {prefix: /, upstream: app, policy: optional}
`

func TestT30_MatchIsExact(t *testing.T) {
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
		"GET /account/":     route.Optional,
		"GET /admin":        "role:admin",
		"GET /admin/users":  "role:admin",
		"GET /administer":   route.Optional,
	} {
		method, path, _ := strings.Cut(request, " ")
		if r := table.Match(method, path); r == nil || r.Policy != want {
			t.Errorf("%s: %+v, want %s", request, r, want)
		}
	}
	if got := table.Upstreams()["frogs"]; got != "frogs:80" {
		t.Errorf("upstream frogs is %s", got)
	}
}

func TestNoRouteIsNil(t *testing.T) {
	table, err := route.Parse([]byte("upstreams: {a: \"http://a:1\"}\nroutes: [{path: /x, upstream: a, policy: public}]"))
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Match("GET", "/"); r != nil {
		t.Errorf("%+v", r)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := route.Parse([]byte(`
upstreams: {app: "https://app", other: "http://user@x/"}
routes:
  - {path: /a, prefix: /a, upstream: app, policy: public}
  - {path: a, upstream: nowhere, policy: nobody}
  - {prefix: /auth/login, upstream: app, policy: "role:"}
  - {path: /%61, upstream: app, methods: [get], policy: public}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"upstream app", "upstream other", "route 1", "route 2", "nowhere", "nobody", "belongs to the sidecar", `"role:"`, `"get"`, "/%61"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
	for _, text := range []string{"", "routes: []", "colour: green", "upstreams: {a: \"http://a\"}\nroutes: [{path: /, upstream: a, policy: public}, {path: /, upstream: a, policy: session}]"} {
		if _, err := route.Parse([]byte(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}
