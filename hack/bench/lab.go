package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"lilypad.example/hack/internal/stores"
	"lilypad.example/services/pkg/process"
)

// issuer is the issuer of the auth service, independent of its address.
const issuer = "http://auth.bench.example"

// goSettings are the Go settings of charts/lilypad, also for the floor.
func goSettings() []string { return []string{"GOGC=400", "GOMEMLIMIT=200MiB"} }

// lab is one run: its folder, its keys and its running programs, which listen on free loopback
// ports.
type lab struct {
	root    string
	home    *process.Home
	self    string // this program
	cluster *cluster
	log     io.Writer
	running []*server
	stores  *stores.Stores
}

func (l *lab) say(format string, args ...any) { _, _ = fmt.Fprintf(l.log, format+"\n", args...) }

func (l *lab) file(name string) string { return filepath.Join(l.home.Dir, name) }

func openLab(ctx context.Context, root string, log io.Writer) (_ *lab, err error) {
	l := &lab{root: root, log: log, stores: &stores.Stores{}}
	if l.home, err = process.OpenHome("lilypad-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if l.cluster, err = openCluster(l.file("cluster")); err != nil {
		return nil, err
	}
	return l, ctx.Err()
}

// close ends the programs, the last started first, and removes the folder.
func (l *lab) close() error {
	for _, s := range slices.Backward(l.running) {
		s.Stop(syscall.SIGINT)
	}
	if l.cluster != nil {
		l.cluster.server.Close()
	}
	l.stores.Stop()
	return l.home.Close()
}

func (l *lab) startStores(ctx context.Context) (err error) {
	if l.stores, err = stores.Start(ctx, l.home); err != nil {
		return err
	}
	return l.writeKeys(ctx)
}

// writeKeys generates the keys of the auth service.
func (l *lab) writeKeys(ctx context.Context) error {
	keys := exec.CommandContext(ctx, l.bin("auth"), "keys", "generate", "--dir", l.home.Dir)
	keys.Env = process.Environment(nil)
	if out, err := keys.CombinedOutput(); err != nil {
		return fmt.Errorf("auth keys generate: %w\n%s", err, out)
	}
	return nil
}

func (l *lab) bin(name string) string { return filepath.Join(l.root, "bin", name) }

// service is a program of the product, with its ops port.
type service struct {
	*server

	ops string
}

func (l *lab) startAuth(ctx context.Context, name string, more map[string]string, mute bool) (service, error) {
	settings := map[string]string{
		"STORE": "external", "DATABASE_URL": l.stores.PostgresURL, "REDIS_URL": l.stores.RedisURL, "ISSUER": issuer,
		"ACCESS_TTL": "5m", "OVERLAP": "10s", "MAX_SESSIONS": "0",
		"SIGNING_KEYS_FILE": l.file("signing.pem"), "RING_KEYS_FILE": l.file("ring.keys"), "CLIENT_SERVICE_ACCOUNTS": clientID,
	}
	maps.Copy(settings, more)
	env, err := l.cluster.environment()
	if err != nil {
		return service{}, err
	}
	return l.startService(ctx, program{name: name, path: l.bin("auth"), env: append(env, goSettings()...), mute: mute, pod: true}, settings)
}

// startSidecar starts a sidecar that logs every request.
func (l *lab) startSidecar(ctx context.Context, name, auth, upstream string, mute bool) (service, error) {
	routes := l.file(name + "-routes.yaml")
	table := "upstreams: {app: \"http://" + upstream + "\"}\nroutes:\n  - {path: /login, upstream: app, policy: public}\n  - {prefix: /, upstream: app, policy: session}\n"
	if err := os.WriteFile(routes, []byte(table), 0o600); err != nil {
		return service{}, err
	}
	return l.startService(ctx, program{name: name, path: l.bin("sidecar"), mute: mute}, map[string]string{
		"AUTH_URL": "http://" + auth, "ISSUER": issuer, "ROUTES_FILE": routes,
		"CLIENT_ASSERTION_FILE": l.cluster.tokenFile(), "ACCESS_LOG": "all", "SHUTDOWN_DELAY": "0s",
	})
}

func (l *lab) startService(ctx context.Context, p program, settings map[string]string) (_ service, err error) {
	if p.address, err = process.FreeAddress(ctx); err != nil {
		return service{}, err
	}
	ops, err := process.FreeAddress(ctx)
	if err != nil {
		return service{}, err
	}
	p.args = []string{"serve"}
	p.env = append(p.env, "LILYPAD_LISTEN="+p.address, "LILYPAD_OPS_LISTEN="+ops, "LILYPAD_DRAIN=1s")
	for k, v := range settings {
		p.env = append(p.env, "LILYPAD_"+k+"="+v)
	}
	started, err := l.start(ctx, p, answers("http://"+ops+"/readyz"))
	return service{server: started, ops: ops}, err
}

// answers returns a check that url answers 200.
func answers(url string) func(context.Context) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s, want 200", url, resp.Status)
		}
		return nil
	}
}
