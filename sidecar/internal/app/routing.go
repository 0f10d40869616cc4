package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"lilypad.example/services/pkg/look"
	"lilypad.example/services/pkg/reload"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/route"
)

// ReadRoutes reads and checks the policy file of an application with this login page.
func ReadRoutes(path, loginPage string) (*route.Table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return parseRoutes(text, loginPage)
}

// parseRoutes refuses a policy that does not admit strangers to the login page, which
// would be a redirect loop. A login page without any route is legal: another program may
// serve it, in front of this sidecar; see Unserved.
func parseRoutes(text []byte, loginPage string) (*route.Table, error) {
	table, err := route.Parse(text)
	if err != nil {
		return nil, err
	}
	if r := table.Match(http.MethodGet, loginPage); r != nil && !table.OpenToStrangers(loginPage) {
		return nil, fmt.Errorf("LILYPAD_LOGIN_PATH %s is not open to strangers: route %d (%s) must have policy public or optional", loginPage, r.Number(), r)
	}
	return table, nil
}

// Unserved returns a warning if no route serves the login page, or "": unless another
// program does, nobody can sign in.
func Unserved(table *route.Table, loginPage string) string {
	if table.OpenToStrangers(loginPage) {
		return ""
	}
	return fmt.Sprintf("no route is for the login page, LILYPAD_LOGIN_PATH %s: nobody can sign in, unless another program serves it; the page that comes with Lilypad is %s",
		loginPage, route.LoginPage)
}

// routing is the policy in force, reloaded when its file changes. Each request uses
// one version of the policy and its upstreams.
type routing struct {
	file    *reload.File[*destinations]
	healthy prometheus.Gauge
}

// destinations are one version of the policy and its upstreams.
type destinations struct {
	table     *route.Table
	look      *look.Look
	upstreams map[string]*forward.Upstream
}

// openRouting reads the policy at path. open returns the upstream that the policy
// describes under a name.
func openRouting(path, loginPage, home string, open func(name string, u *route.Upstream) (*forward.Upstream, error)) (*routing, error) {
	last := &destinations{table: new(route.Table)}
	file, err := reload.Open(path, func(text []byte) (*destinations, error) {
		table, err := parseRoutes(text, loginPage)
		if err != nil {
			return nil, err
		}
		site := look.Site{Brand: table.Brand(), Home: home}
		next := &destinations{table, look.New(site), make(map[string]*forward.Upstream)}
		var faults []error
		for _, name := range slices.Sorted(maps.Keys(table.Upstreams())) {
			u := table.Upstreams()[name]
			// An unchanged upstream keeps its connections.
			if reflect.DeepEqual(u, last.table.Upstreams()[name]) {
				next.upstreams[name] = last.upstreams[name]
				continue
			}
			var err error
			if next.upstreams[name], err = open(name, u); err != nil {
				faults = append(faults, err)
			}
		}
		if err := errors.Join(faults...); err != nil {
			return nil, err
		}
		last = next
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	r := &routing{file: file, healthy: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "route_policy_healthy", Help: "1 if the policy in force is the one in the file, 0 if the file is invalid.",
	})}
	r.healthy.Set(1)
	return r, nil
}

func (r *routing) register(metrics *prometheus.Registry) { metrics.MustRegister(r.healthy) }

// look returns how pages look.
func (r *routing) look() *look.Look { return r.file.Current().look }

// match returns the route of a request and its upstream, or nil.
func (r *routing) match(method, path string) (*route.Route, *forward.Upstream) {
	now := r.file.Current()
	found := now.table.Match(method, path)
	if found == nil {
		return nil, nil
	}
	return found, now.upstreams[found.Upstream]
}

// route returns the route of a request, or nil.
func (r *routing) route(method, path string) *route.Route {
	found, _ := r.match(method, path)
	return found
}

// watch reloads the file when it changes, until ctx ends.
func (r *routing) watch(ctx context.Context, log *slog.Logger) {
	before := r.file.Current()
	warn := func(d *destinations) {
		for _, warning := range d.table.Warnings() {
			log.Warn("ambiguous routes", "warning", warning)
		}
	}
	warn(before)
	r.file.Watch(ctx, func(err error) {
		if err != nil {
			r.healthy.Set(0)
			log.Error("routes not reloaded, keeping the old ones", "error", err)
			return
		}
		r.healthy.Set(1)
		log.Info("routes reloaded")
		now := r.file.Current()
		warn(now)
		for name, upstream := range before.upstreams {
			if now.upstreams[name] != upstream {
				upstream.Close() // requests in flight keep their connections
			}
		}
		before = now
	})
}
