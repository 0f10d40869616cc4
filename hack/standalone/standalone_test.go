package main

import (
	"bytes"
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
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
			t.Errorf("%+v: error %v", o, err)
		}
	}
}

func TestOneSourceOfAPolicy(t *testing.T) {
	var said buffer
	if _, err := parse([]string{"--app", "http://127.0.0.1:3000", "--routes", "routes.yaml"}, &said); err == nil {
		t.Error("an app and a policy file are taken together")
	}
}

// Somebody's own app stands where the sample app stood, and neither that nor its API is started.
func TestOwnApp(t *testing.T) {
	for _, o := range []options{{app: "http://127.0.0.1:3000"}, {routes: "/its/own.yaml"}} {
		p := plan{options: o, dir: "/ours"}
		if o.app != "" && !strings.Contains(p.policy(), o.app) {
			t.Errorf("%+v: policy %q", o, p.policy())
		}
		var names []string
		for _, c := range p.commands() {
			names = append(names, c.name)
			file := "LILYPAD_ROUTES_FILE=" + cmp.Or(o.routes, "/ours/routes.yaml")
			if c.name == "sidecar" && !slices.Contains(c.env, file) {
				t.Errorf("%+v: the sidecar does not read %s", o, file)
			}
		}
		if !slices.Equal(names, []string{"auth", "sidecar"}) {
			t.Errorf("%+v starts %v", o, names)
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
			t.Errorf("ports %+v", p)
		}
		seen[port] = true
	}
}

func TestForeignSettingsDoNotReachThePrograms(t *testing.T) {
	t.Setenv("LILYPAD_DATABASE_URL", "postgres://elsewhere")
	for _, v := range environment(map[string]string{"STORE": "embedded"}) {
		if strings.HasPrefix(v, "LILYPAD_") && v != "LILYPAD_STORE=embedded" {
			t.Errorf("passed on: %s", v)
		}
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
	return spec{name: name, path: "/bin/sh", args: []string{"-c", script}, env: environment(nil)}
}

func TestWhenOneChildEndsAllDo(t *testing.T) {
	var log buffer
	g := newGroup(&log)
	for _, s := range []spec{
		shell("lasting", "echo up; exec sleep 1000"),
		shell("frail", "echo last words; exit 3"),
	} {
		if err := g.start(s); err != nil {
			t.Fatal(err)
		}
	}
	err := g.await(t.Context(), func(context.Context) error { return errNotYet })
	if err == nil || !strings.Contains(err.Error(), "frail ended (exit status 3)") {
		t.Errorf("error %v", err)
	}
	g.stop()
	for _, c := range g.children {
		if syscall.Kill(-c.cmd.Process.Pid, 0) == nil {
			t.Errorf("%v still runs", c.cmd.Args)
		}
	}
	if !strings.Contains(log.String(), "frail    | last words\n") {
		t.Errorf("log:\n%s", &log)
	}
}

func TestEndedByTheUserIsNoFault(t *testing.T) {
	g := newGroup(&buffer{})
	if err := g.start(shell("lasting", "exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ended(ctx, g.wait(ctx)); err != nil {
		t.Error(err)
	}
	g.stop()
}
