package e2e

import (
	"net/http"
	"strings"
	"testing"
)

func singlePageApp(t *testing.T, program string) {
	web, api := freeAddress(t), freeAddress(t)
	e := install(t, program, "spa", map[string]string{"127.0.0.1:3000": web, "127.0.0.1:3001": api})
	_, port, _ := strings.Cut(web, ":")
	e.start(t, web, "node_modules/sirv-cli/bin.js", "public", "--single", "--quiet", "--host", "127.0.0.1", "--port", port)
	e.start(t, api, "api.js")
	e.play(t, []scenario{
		{"StaticFiles", spaFiles},
		{"ScriptsGetProblems", spaRefusals},
		{"StaysSignedIn", spaStays},
		{"EndsWithItsSession", spaEnds},
	})
}

// spaFiles: static files are on public routes: no session is looked up, and caches may store them.
func spaFiles(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	for _, path := range []string{"/", "/app.js", "/style.css", "/frogs/42"} {
		a := v.navigate(t, path).want(t, http.StatusOK)
		if strings.Contains(a.header.Get("Cache-Control"), "no-store") || a.ourCookie(t) != nil {
			t.Errorf("%s: Cache-Control %q, cookie %v; want a cacheable response without a cookie", a.request, a.header.Get("Cache-Control"), a.ourCookie(t))
		}
	}
}

func spaRefusals(t *testing.T, w *World) {
	v := w.visitor(t)
	v.fetch(t, http.MethodGet, "/auth/session").wantProblem(t, http.StatusUnauthorized)
	v.fetch(t, http.MethodGet, "/api/pets").wantProblem(t, http.StatusUnauthorized)
	v.sendJSON(t, "/api/pets", struct{}{}).wantProblem(t, http.StatusUnauthorized)
	v.register(t)
	v.with("Sec-Fetch-Site", "cross-site").with("Origin", "https://elsewhere.example").sendJSON(t, "/api/pets", struct{}{}).wantProblem(t, http.StatusForbidden)
}

// enter signs in with the form of the page, whose script sends JSON to the sidecar.
func (w *World) enter(t *testing.T) (*browser, account) {
	t.Helper()
	who := w.visitor(t).register(t)
	b := newBrowser(t, w)
	b.visit("/")
	b.shows("Sign in")
	b.fill(map[string]string{"email": who.Email, "password": "wrong"})
	b.act(`document.querySelector("#login button").click()`)
	b.shows("E-mail or password is not right.")
	b.act(`document.querySelector("#login").reset()`)
	b.fill(map[string]string{"email": who.Email, "password": who.Password})
	b.act(`document.querySelector("#login button").click()`)
	b.shows("Hello, " + who.Name)
	b.shows("petted the phrog 0 times") // its WebSocket is open
	return b, who
}

func spaStays(t *testing.T, w *World) {
	b, who := w.enter(t)
	b.wantNoToken()
	b.act(`document.querySelector("#pet").click()`)
	b.shows("petted the phrog 1 times")
	b.stays("/api/pets")
	b.visit("/")
	b.shows("Hello, " + who.Name)
	b.shows("petted the phrog 1 times")
	// A request of another tab is reported through the WebSocket.
	w.holder(t, b.cookie()).sendJSON(t, "/api/pets", struct{}{}).want(t, http.StatusOK)
	b.shows("petted the phrog 2 times")
	b.act(`document.querySelector("#logout").click()`)
	b.shows("Sign in")
	if c := b.cookie(); c != "" {
		t.Error("the cookie remains after logout, want none")
	}
	b.visit("/")
	b.shows("Sign in")
}

// spaEnds: a logout in another browser closes the WebSocket, and the page shows the login form.
func spaEnds(t *testing.T, w *World) {
	b, _ := w.enter(t)
	w.holder(t, b.cookie()).sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	b.shows("Sign in")
	if status := b.eval(`fetch("/api/pets").then((answer) => String(answer.status))`); status != "401" {
		t.Errorf("fetch after the logout: status %s, want 401", status)
	}
}
