package app_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
)

// pond is an application that says its name, and how many connections it has.
type pond struct {
	url  string
	open atomic.Int32
	hold chan struct{} // a request for /slow waits for it in the middle of its answer
}

func newPond(t *testing.T, name string) *pond {
	t.Helper()
	p := &pond{hold: make(chan struct{})}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name)
		if r.URL.Path == "/slow" {
			_ = http.NewResponseController(w).Flush()
			<-p.hold
			_, _ = io.WriteString(w, ", still")
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			p.open.Add(1)
		case http.StateClosed:
			p.open.Add(-1)
		default:
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func routesTo(upstreams ...string) []byte {
	text := "upstreams: {"
	for i, url := range upstreams {
		text += fmt.Sprintf("u%d: %q, ", i, url)
	}
	return []byte(text + "}\nroutes:\n  - {prefix: /, upstream: u0, policy: public}\n")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestThePolicyFollowsItsFile(t *testing.T) {
	before, after := newPond(t, "before"), newPond(t, "after")
	var file string
	version := 0
	replace := func(text []byte) {
		// As the kubelet does it: a link to the new file takes the place of that to the old one.
		version++
		next := fmt.Sprint(file, ".", version)
		write(t, next, text)
		if err := errors.Join(os.Symlink(next, file+".new"), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, func(c *app.Config) {
		file = c.RoutesFile
		replace(routesTo(before.url, after.url))
	})
	healthy := func() bool { return strings.Contains(w.metrics(), "\nroute_policy_healthy 1\n") }
	if !healthy() {
		t.Error("not healthy at first")
	}
	// A bad file changes nothing, and is said once.
	replace([]byte("upstreams: {}\nroutes: [{prefix: /, upstream: nowhere, policy: public}]"))
	eventually(t, "word of a bad file", func() bool { return strings.Contains(w.logs.String(), "routes not reloaded") })
	if body := w.get("/").body; body != "before" || healthy() {
		t.Errorf("with a bad file: %q, healthy %t", body, healthy())
	}
	// A good one counts for what comes next; what is on its way ends as it began.
	slow := w.begin(w.url + "/slow")
	replace(routesTo(after.url))
	eventually(t, "answer of the other application", func() bool { return w.get("/").body == "after" })
	eventually(t, "end of idle connections", func() bool { return before.open.Load() == 1 })
	close(before.hold)
	if body, err := io.ReadAll(slow.Body); err != nil || string(body) != "before, still" {
		t.Errorf("what was on its way: %q, %v", body, err)
	}
	eventually(t, "end of the last connection", func() bool { return before.open.Load() == 0 })
	if !healthy() || strings.Count(w.logs.String(), "routes not reloaded") != 1 {
		t.Errorf("healthy %t, log %s", healthy(), w.logs.String())
	}
}

// A policy that keeps strangers from the login page would send them there again and again.
func TestAPolicyWithAClosedLoginPageIsRefused(t *testing.T) {
	for policy, refused := range map[string]bool{
		"[{prefix: /, upstream: app, policy: session}]":                                                   true,
		"[{prefix: /, upstream: app, policy: public}, {path: /login, upstream: app, policy: \"role:x\"}]": true,
		"[{prefix: /, upstream: app, policy: session}, {path: /login, upstream: app, policy: public}]":    false,
		"[{prefix: /, upstream: app, policy: optional}]":                                                  false,
		"[{prefix: /shop, upstream: app, policy: session}]":                                               false, // where nobody is to sign in
	} {
		c := &app.Config{RoutesFile: filepath.Join(t.TempDir(), "routes.yaml"), LoginPath: "/login"}
		write(t, c.RoutesFile, []byte("upstreams: {app: \"http://127.0.0.1:1\"}\nroutes: "+policy))
		_, err := app.New(t.Context(), c, slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler))
		if got := err != nil && strings.Contains(err.Error(), "LILYPAD_LOGIN_PATH /login is not open to strangers"); got != refused {
			t.Errorf("%s: %v, want it refused for that: %t", policy, err, refused)
		}
	}
}

func TestAPolicyThatDependsOnSpellingIsLogged(t *testing.T) {
	pond := newPond(t, "pond")
	var file string
	w := newWorld(t, func(c *app.Config) {
		file = c.RoutesFile
		write(t, file, fmt.Appendf(nil, "upstreams: {a: %q}\nroutes: [{path: /x, upstream: a, policy: session}, {path: /X, upstream: a, policy: public}]", pond.url))
	})
	eventually(t, "warning at the start", func() bool { return strings.Contains(w.logs.String(), "route 2 (path /X) differ only in spelling") })
	write(t, file+".new", fmt.Appendf(nil, "upstreams: {a: %q}\nroutes: [{path: /y, upstream: a, policy: session}, {path: /y/, upstream: a, policy: public}]", pond.url))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "warning after a change", func() bool { return strings.Contains(w.logs.String(), "route 2 (path /y/) differ only in spelling") })
}

// begin asks for url, and leaves the body to be read.
func (w *world) begin(url string) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (w *world) metrics() string {
	w.t.Helper()
	text, err := io.ReadAll(w.begin(w.ops + "/metrics").Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}
