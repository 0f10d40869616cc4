package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func intentScenarios() []scenario {
	return []scenario{
		{"CrossSiteWritesAreRefused", crossSiteWrites},
		{"CrossSiteLoginIsRefused", crossSiteLogin},
		{"SafeMethodsChangeNothing", safeMethods},
		{"ForeignOriginsMayNotRead", foreignOriginsMayNotRead},
		{"RightKindOfRefusal", rightKindOfRefusal},
	}
}

var postForm = regexp.MustCompile(`(?is)<form\b[^>]*>`)

var attribute = regexp.MustCompile(`(?is)\b(action|method)="([^"]*)"`)

// writeRoutes returns the actions of all forms that a signed-in user sees, and the endpoint of the
// API.
func writeRoutes(t *testing.T, v *visitor) []string {
	t.Helper()
	routes := []string{"/auth/logout", "/auth/login", "/auth/register", "/api/frogs/" + v.frogs(t)[0].ID + "/pet"}
	for _, path := range []string{"/", "/account"} {
		page := v.navigate(t, path).want(t, http.StatusOK).body
		for _, form := range postForm.FindAllString(page, -1) {
			found := map[string]string{}
			for _, m := range attribute.FindAllStringSubmatch(form, -1) {
				found[strings.ToLower(m[1])] = m[2]
			}
			if strings.EqualFold(found["method"], "post") && !slices.Contains(routes, found["action"]) {
				routes = append(routes, found["action"])
			}
		}
	}
	return routes
}

// crossSite are the headers of a browser for requests by another site.
var crossSite = []map[string]string{
	{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
	{"Sec-Fetch-Site": "cross-site", "Origin": "null"},
	{"Sec-Fetch-Site": "cross-site"},
	{"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost:8080"},
	{"Sec-Fetch-Site": "same-site"},
	{"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
	{"Sec-Fetch-Site": "", "Origin": "null"},
}

func crossSiteWrites(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	sid, pets := v.session(t).SID, v.pets(t)
	scheme, host, _ := strings.Cut(w.BaseURL, "://")
	unproven := []map[string]string{
		{"Sec-Fetch-Site": "", "Origin": ""},
		{"Sec-Fetch-Site": "", "Origin": map[string]string{"http": "https", "https": "http"}[scheme] + "://" + host},
	}
	for _, route := range writeRoutes(t, v) {
		for _, headers := range slices.Concat(crossSite, unproven) {
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				attacker := v
				for name, value := range headers {
					attacker = attacker.with(name, value)
				}
				a := attacker.do(t, method, route, "application/x-www-form-urlencoded", "", navigation())
				if a.status != http.StatusForbidden {
					t.Errorf("%s with %v: status %d, want 403", a.request, headers, a.status)
				}
				if a.ourCookie(t) != nil && a.clearsCookie(t) {
					t.Fatalf("%s with %v clears the cookie", a.request, headers)
				}
			}
		}
	}
	if s := wantUser(t, v, who); s.SID != sid {
		t.Error("the session changed, want the same")
	}
	v.wantPets(t, pets)
}

// crossSiteLogin: login CSRF, which signs the victim in as the attacker.
func crossSiteLogin(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	for _, headers := range crossSite {
		v := w.visitor(t)
		attacker := v
		for name, value := range headers {
			attacker = attacker.with(name, value)
		}
		if a := attacker.submit(t, "/auth/login", who.form()); a.status != http.StatusForbidden || len(a.cookies) > 0 {
			t.Errorf("%v: %s: status %d with cookies %v, want 403 without cookies", headers, a.request, a.status, a.cookies)
		}
		newcomer := newAccount()
		attacker.submit(t, "/auth/register", newcomer.form()).want(t, http.StatusForbidden)
		if a := v.sendJSON(t, "/auth/login", newcomer.json()); a.status != http.StatusUnauthorized {
			t.Errorf("%v: login after a cross-site registration: status %d, want 401", headers, a.status)
		}
	}
}

func safeMethods(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	sid, pets := v.session(t).SID, v.pets(t)
	for _, route := range writeRoutes(t, v) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			for _, disguise := range []string{"", "?_method=POST", "?_method=DELETE"} {
				for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
					a := v.with(header, http.MethodPost).do(t, method, route+disguise, "", "", navigation())
					if a.ourCookie(t) != nil && a.clearsCookie(t) {
						t.Fatalf("%s clears the cookie", a.request)
					}
				}
			}
		}
	}
	if s := wantUser(t, v, who); s.SID != sid {
		t.Error("the session changed, want the same")
	}
	v.wantPets(t, pets)
}

func foreignOriginsMayNotRead(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	foreign := v.with("Origin", "https://evil.example").with("Sec-Fetch-Site", "cross-site")
	for _, path := range []string{"/", "/account", "/api/frogs", "/auth/session"} {
		preflight := foreign.with("Access-Control-Request-Method", "POST").with("Access-Control-Request-Headers", "content-type")
		for _, a := range []*answer{foreign.fetch(t, http.MethodGet, path), preflight.do(t, http.MethodOptions, path, "", "", script())} {
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-Allow") {
					t.Errorf("%s: header %s: %s, want none", a.request, name, a.header.Get(name))
				}
			}
		}
	}
}

func rightKindOfRefusal(t *testing.T, w *World) {
	v := w.visitor(t)
	for path, next := range map[string]string{"/account": "/account", "/account?tab=sessions": "/account?tab=sessions"} {
		to := v.navigate(t, path).wantRedirect(t)
		if to.Path != "/login" || to.Query().Get("next") != next {
			t.Errorf("%s: redirected to %q, want /login with next=%s", path, to, next)
		}
	}
	refused := []*answer{
		v.fetch(t, http.MethodGet, "/api/frogs"),
		v.fetch(t, http.MethodGet, "/account"),
		v.with("Sec-Fetch-Mode", "").with("Sec-Fetch-Dest", "").with("Sec-Fetch-Site", "").fetch(t, http.MethodGet, "/api/frogs"), // curl, an app
		v.fetch(t, http.MethodPost, "/api/frogs/tree-frog/pet"),
		v.sendJSON(t, "/account", struct{}{}),
	}
	for _, a := range refused {
		a.wantProblem(t, http.StatusUnauthorized)
		if a.header.Get("Location") != "" {
			t.Errorf("%s: 401 with Location, want none", a.request)
		}
	}
	for _, path := range []string{"/account", "/api/frogs/tree-frog/pet"} {
		a := v.submit(t, path, url.Values{})
		if a.status != http.StatusUnauthorized || a.header.Get("Location") != "" {
			t.Errorf("%s: status %d, Location %q; want 401 without Location, so that a POST does not become a GET", a.request, a.status, a.header.Get("Location"))
		}
	}
	v.fetch(t, http.MethodGet, "/auth/session").wantProblem(t, http.StatusUnauthorized)

	user := w.visitor(t)
	user.register(t)
	if a := user.navigate(t, "/admin"); a.status != http.StatusForbidden {
		t.Errorf("%s without the role: status %d, want 403", a.request, a.status)
	}
	var p json.RawMessage
	user.fetch(t, http.MethodGet, "/admin").want(t, http.StatusForbidden).decode(t, &p)
}
