package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// adopt installs an app that nobody here wrote, of the folder apps, and puts the product in front of
// it as `make run APP=` does. The app listens at address.
func adopt(t *testing.T, program, name, address string) *example {
	t.Helper()
	e := &example{dir: filepath.Join(t.TempDir(), name)}
	if err := os.CopyFS(e.dir, os.DirFS(filepath.Join("apps", name))); err != nil {
		t.Fatal(err)
	}
	e.run(t, "npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--no-update-notifier")
	p := startStandalone(t, program, "--app", "http://"+address)
	e.World = &World{BaseURL: p.says(t, "ready "), AccessTTL: accessTTL, Screenshots: os.Getenv("E2E_SCREENSHOTS")}
	return e
}

// arrive opens a path as a stranger, registers on the hosted page and arrives at the path.
func (w *World) arrive(t *testing.T, path string) (*browser, account) {
	t.Helper()
	b, who := newBrowser(t, w), newAccount()
	b.visit(path)
	if b.path() != "/auth/login" {
		t.Fatalf("a stranger is at %s, want the login page", b.where())
	}
	b.press(`main a[href^="/auth/register"]`)
	b.fill(map[string]string{"email": who.Email, "name": who.Name, "password": who.Password})
	b.press(mainButton)
	if b.path() != path {
		t.Fatalf("after registration at %s, want %s", b.where(), path)
	}
	return b, who
}

// nodeRED: its editor keeps a WebSocket and loads and stores flows by fetch.
func nodeRED(t *testing.T, program string) {
	address := freeAddress(t)
	e := adopt(t, program, "node-red", address)
	_, port, _ := strings.Cut(address, ":")
	e.start(t, address, "node_modules/node-red/red.js", "--userDir", filepath.Join(e.dir, "data"), "--port", port, "-D", "uiHost=127.0.0.1")
	for _, path := range []string{"/", "/flows", "/settings"} {
		e.visitor(t).fetch(t, http.MethodGet, path).wantProblem(t, http.StatusUnauthorized)
	}
	b, _ := e.arrive(t, "/")
	const connected = `String(!!(window.RED && RED.comms && document.querySelector("#red-ui-palette .red-ui-palette-node") && document.querySelector("#red-ui-header-button-deploy")))`
	e.awaitWithinTokenLife(t, "the editor", func() bool { return b.eval(connected) == "true" })
	b.wantNoToken()

	// A flow is stored, also after the access token has expired.
	store := `fetch("/flows", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify([{id: "f1", type: "tab", label: "Pond"}])}).then((r) => String(r.status))`
	if status := b.eval(store); status != "204" {
		t.Fatalf("storing a flow: status %s, want 204", status)
	}
	before := b.cookie()
	e.awaitRotation(t, func() bool {
		if status := b.eval(`fetch("/settings").then((r) => String(r.status))`); status != "200" {
			t.Fatalf("settings: status %s, want 200", status)
		}
		return b.cookie() != before
	})
	if flows := b.eval(`fetch("/flows").then((r) => r.text())`); !strings.Contains(flows, "Pond") {
		t.Errorf("flows %s, want the one that was stored", flows)
	}

	// The editor's WebSocket is open, and closes with the session.
	open := `new Promise((done) => { window.probe = new WebSocket(location.origin.replace("http", "ws") + "/comms"); probe.onopen = () => done("open"); probe.onclose = () => done("closed") })`
	if state := b.eval(open); state != "open" {
		t.Fatalf("WebSocket %s, want open", state)
	}
	e.holder(t, b.cookie()).sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	e.awaitWithinTokenLife(t, "the end of the WebSocket", func() bool { return b.eval(`String(probe.readyState)`) == "3" })
	b.visit("/")
	if b.path() != "/auth/login" {
		t.Errorf("after sign-out at %s, want the login page", b.where())
	}
}

// jsonServer: a REST API with a page, which writes.
func jsonServer(t *testing.T, program string) {
	address := freeAddress(t)
	e := adopt(t, program, "json-server", address)
	_, port, _ := strings.Cut(address, ":")
	if err := os.WriteFile(filepath.Join(e.dir, "db.json"), []byte(`{"frogs": [{"id": 1, "name": "Tree frog"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	e.start(t, address, "node_modules/json-server/lib/cli/bin.js", "--host", "127.0.0.1", "--port", port, "--quiet", "db.json")
	e.visitor(t).fetch(t, http.MethodGet, "/frogs").wantProblem(t, http.StatusUnauthorized)
	b, who := e.arrive(t, "/frogs/1")
	b.want("Tree frog")
	add := `fetch("/frogs", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"name":"Glass frog"}'}).then((r) => String(r.status))`
	if status := b.eval(add); status != "201" {
		t.Errorf("adding a frog: status %s, want 201", status)
	}
	b.visit("/frogs")
	b.want("Glass frog")
	b.visit("/auth/account")
	b.want(who.Email)
	b.press(`nav form[action="/auth/logout"] button`)
	b.want("You are signed out.")
	e.visitor(t).fetch(t, http.MethodGet, "/frogs").wantProblem(t, http.StatusUnauthorized)
}
