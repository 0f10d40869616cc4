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

// pond is an application that responds with its name and counts its connections.
type pond struct {
	url  string
	open atomic.Int32
	hold chan struct{} // a response to /slow waits for it halfway
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
			t.Fatalf("timed out waiting for: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestThePolicyFollowsItsFile(t *testing.T) {
	before, after := newPond(t, "before"), newPond(t, "after")
	var file string
	version := 0
	replace := func(text []byte) {
		// Like the kubelet: rename a symbolic link to the new file over the old link.
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
		t.Error("route_policy_healthy is not 1 after the start")
	}
	// An invalid file changes nothing and is logged once.
	replace([]byte("upstreams: {}\nroutes: [{prefix: /, upstream: nowhere, policy: public}]"))
	eventually(t, "log line about the invalid file", func() bool { return strings.Contains(w.logs.String(), "routes not reloaded") })
	if body := w.get("/").body; body != "before" || healthy() {
		t.Errorf("with an invalid file: body %q, healthy %t, want before and false", body, healthy())
	}
	// A valid file applies to new requests; requests in flight end under the old policy.
	slow := w.begin(w.url + "/slow")
	replace(routesTo(after.url))
	eventually(t, "response of the other application", func() bool { return w.get("/").body == "after" })
	eventually(t, "end of idle connections", func() bool { return before.open.Load() == 1 })
	close(before.hold)
	if body, err := io.ReadAll(slow.Body); err != nil || string(body) != "before, still" {
		t.Errorf("request in flight: body %q, error %v, want the complete response", body, err)
	}
	eventually(t, "end of the last connection", func() bool { return before.open.Load() == 0 })
	if !healthy() || strings.Count(w.logs.String(), "routes not reloaded") != 1 {
		t.Errorf("healthy %t, log %s, want true and one line about the invalid file", healthy(), w.logs.String())
	}
}

// With such a policy, the login page would redirect to itself forever.
func TestAPolicyWithAClosedLoginPageIsRefused(t *testing.T) {
	for policy, refused := range map[string]bool{
		"[{prefix: /, upstream: app, policy: session}]":                                                   true,
		"[{prefix: /, upstream: app, policy: public}, {path: /login, upstream: app, policy: \"role:x\"}]": true,
		"[{prefix: /, upstream: app, policy: session}, {path: /login, upstream: app, policy: public}]":    false,
		"[{prefix: /, upstream: app, policy: optional}]":                                                  false,
		"[{prefix: /shop, upstream: app, policy: session}]":                                               false, // the login page is not served here
	} {
		c := &app.Config{RoutesFile: filepath.Join(t.TempDir(), "routes.yaml"), LoginPath: "/login"}
		write(t, c.RoutesFile, []byte("upstreams: {app: \"http://127.0.0.1:1\"}\nroutes: "+policy))
		_, err := app.New(t.Context(), c, slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler))
		if got := err != nil && strings.Contains(err.Error(), "LILYPAD_LOGIN_PATH /login is not open to strangers"); got != refused {
			t.Errorf("%s: error %v, want one about the login path: %t", policy, err, refused)
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

// begin sends a GET request for url and does not read the body.
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
