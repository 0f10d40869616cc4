package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/pkg/process"
)

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := l.Addr().(*net.TCPAddr).Port
	// The second wants it for the auth service.
	for _, o := range []options{{port: used}, {port: used - 1, app: "http://127.0.0.1:3000"}} {
		if _, err = choosePorts(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is in use; choose another one: make run PORT=") {
			t.Errorf("%+v: error %v, want one that suggests another port", o, err)
		}
	}
}

func TestAppAndRoutesExcludeEachOther(t *testing.T) {
	var said buffer
	if _, err := parse([]string{"--app", "http://127.0.0.1:3000", "--routes", "routes.yaml"}, &said); err == nil {
		t.Error("--app with --routes is accepted, want an error")
	}
}

func TestBadSettingsAreOneLineThatNamesThem(t *testing.T) {
	for args, want := range map[string]string{
		"--port abc":                "PORT=abc is not a port (1 to 65535)",
		"--port 99999":              "PORT=99999 is not a port (1 to 65535)",
		"--port -1":                 "PORT=-1 is not a port (1 to 65535)",
		"--access-ttl foo":          "ACCESS_TTL=foo is not a duration, for example 10s",
		"--port abc --access-ttl 5": "PORT=abc is not a port (1 to 65535); ACCESS_TTL=5 is not a duration, for example 10s",
		"--port 65535 --app http://127.0.0.1:3000": "PORT=65535 leaves no port for the auth service, which uses the next one: choose a lower port",
		"--port 65535 --routes routes.yaml":        "PORT=65535 leaves no port for the auth service, which uses the next one: choose a lower port",
		"--app 127.0.0.1:3000":                     "APP=127.0.0.1:3000 is not the URL of an app, for example http://127.0.0.1:3000",
		"--app https://pond":                       "APP=https://pond is not the URL of an app, for example http://127.0.0.1:3000",
		"--app http://pond/x":                      "APP=http://pond/x is not the URL of an app, for example http://127.0.0.1:3000",
		"--app http://pond:99999":                  "APP=http://pond:99999 is not the URL of an app, for example http://127.0.0.1:3000",
		"--app http://":                            "APP=http:// is not the URL of an app, for example http://127.0.0.1:3000",
		"--app http://p*nd":                        "APP=http://p*nd is not the URL of an app, for example http://127.0.0.1:3000",
	} {
		var said buffer
		_, err := parse(strings.Fields(args), &said)
		if err == nil || err.Error() != want || said.String() != "" {
			t.Errorf("%s: error %v and output %q, want error %s and no output", args, err, &said, want)
		}
	}
	for _, args := range []string{"", "--port 65535", "--port 65534 --app http://127.0.0.1:3000/", "--port 0 --app http://[::1]:3000", "--app http://my_app --access-ttl 10s"} {
		if _, err := parse(strings.Fields(args), &buffer{}); err != nil {
			t.Errorf("%s: error %v, want none", args, err)
		}
	}
}

func TestSuggestedPortsExist(t *testing.T) {
	for another, want := range map[int]string{8081: "PORT=8081", maxPort - 1: "PORT=65534", maxPort: "PORT=8090", maxPort + 1: "PORT=8090"} {
		if err := taken(another-1, another, syscall.EADDRINUSE); !strings.HasSuffix(err.Error(), want) {
			t.Errorf("port after %d in use: error %v, want a suggestion of %s", another-1, err, want)
		}
	}
}

func TestABadPolicyFileIsReportedBeforeAnythingStarts(t *testing.T) {
	dir := t.TempDir()
	// Stands for the sidecar, which rejects the file.
	const sidecar = "#!/bin/sh\necho \"sidecar: $2: it is bad\" >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "sidecar"), []byte(sidecar), 0o700); err != nil {
		t.Fatal(err)
	}
	p := plan{options: options{routes: "/its/own.yaml"}, programs: dir}
	const want = "ROUTES=/its/own.yaml is not a valid policy file:\nsidecar: /its/own.yaml: it is bad"
	if err := p.checkRoutes(t.Context()); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	p.routes = ""
	if err := p.checkRoutes(t.Context()); err != nil {
		t.Errorf("generated policy file: error %v, want none", err)
	}
}

func TestTheWelcomeWaitsForTheLogToSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		g := newGroup(&log)
		go func() {
			out := &lines{group: g, name: "auth"}
			for range 3 {
				<-time.After(100 * time.Millisecond)
				_, _ = io.WriteString(out, "line\n")
			}
		}()
		g.settle(t.Context())
		if got := strings.Count(log.String(), "line"); got != 3 {
			t.Errorf("settled after %d lines, want 3", got)
		}
	})
}

// With the user's own app, neither the sample app nor its API is started.
func TestOwnApp(t *testing.T) {
	for _, o := range []options{{app: "http://127.0.0.1:3000"}, {routes: "/its/own.yaml"}} {
		p := plan{options: o, dir: "/ours"}
		if o.app != "" && (!strings.Contains(p.policy(), o.app) || !strings.Contains(p.policy(), "policy: session")) {
			t.Errorf("%+v: policy %q, want the address of the app in it, for signed-in users", o, p.policy())
		}
		var names []string
		for _, c := range p.commands() {
			names = append(names, c.name)
			file := "LILYPAD_ROUTES_FILE=" + cmp.Or(o.routes, "/ours/routes.yaml")
			if c.name == "sidecar" && !slices.Contains(c.env, file) {
				t.Errorf("%+v: the sidecar is started without %s", o, file)
			}
		}
		if !slices.Equal(names, []string{"provider", "auth", "sidecar"}) {
			t.Errorf("%+v starts %v, want provider, auth and sidecar", o, names)
		}
	}
}

func TestPortsDiffer(t *testing.T) {
	p, err := choosePorts(t.Context(), options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range []int{p.sidecar, p.sidecarOps, p.frontend, p.frontendOps, p.frogs, p.frogsOps, p.auth, p.authOps} {
		if port == 0 || seen[port] {
			t.Errorf("ports %+v, want different ones", p)
		}
		seen[port] = true
	}
}

// buffer is a bytes.Buffer that several goroutines may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func shell(name, script string) spec {
	return spec{name: name, path: "/bin/sh", args: []string{"-c", script}, env: process.Environment(nil)}
}

func TestAwaitFailsWhenAProgramEnds(t *testing.T) {
	var log buffer
	g := newGroup(&log)
	for _, s := range []spec{
		shell("lasting", "echo up; exec sleep 1000"),
		shell("frail", "echo last words; exit 3"),
	} {
		if err := g.start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	err := g.await(t.Context(), func(context.Context) error { return errNotYet })
	if err == nil || !strings.Contains(err.Error(), "frail ended (exit status 3)") {
		t.Errorf("error %v, want frail ended (exit status 3)", err)
	}
	g.stop()
	for _, c := range g.children {
		if syscall.Kill(-c.PID, 0) == nil {
			t.Errorf("%s still runs", c.Name)
		}
	}
	if !strings.Contains(log.String(), "frail    | last words\n") {
		t.Errorf("the log lacks the last words of the program:\n%s", &log)
	}
}

func TestInterruptIsNoError(t *testing.T) {
	g := newGroup(&buffer{})
	if err := g.start(t.Context(), shell("lasting", "exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ended(ctx, g.wait(ctx)); err != nil {
		t.Errorf("error %v after an interrupt, want none", err)
	}
	g.stop()
}
