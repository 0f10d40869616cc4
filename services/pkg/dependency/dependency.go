// Package dependency tracks whether a program can reach what it depends on, such as a store. At its
// start a program waits until it reaches all dependencies (Await). From then on, Watch logs when
// one becomes unreachable or reachable, and the metric dependency_up shows the state. Readiness
// depends on the start only; see httpserver.Ops.
package dependency

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lilypad.example/services/pkg/revocation"
)

const (
	// Await pauses for firstPause after its first attempt. It doubles the pause after each further
	// one, up to lastPause.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// watchEvery is the pause between two checks of Watch.
	watchEvery = 2 * time.Second
	// repeatEvery is how often the log repeats that a dependency is unreachable.
	repeatEvery = time.Minute
)

// A Dependency is something outside the process.
type Dependency struct {
	// Name is the metric's label and appears in the log.
	Name string
	// Check returns nil if the dependency can be used now. It limits its own time.
	Check func(context.Context) error
	// Away is the error that Check's error wraps if a retry may help. Any other error, and a
	// certificate that does not verify, is a configuration error and ends Await. If Away is nil,
	// Await does not wait for the dependency.
	Away error
}

// feedPatience is how long the revocation feed, which sends a line every second, may be silent.
const feedPatience = 5 * time.Second

// Auth returns the auth service as a dependency of a program that follows its revocation feed. It
// is up while the feed sends lines. The check makes no request, and Await does not wait for it.
func Auth(feed *revocation.Follower) Dependency {
	return Dependency{Name: "auth", Check: func(context.Context) error {
		if quiet := feed.Silence(); quiet > feedPatience {
			return fmt.Errorf("the revocation feed has been quiet for %v", quiet.Round(time.Second))
		}
		return nil
	}}
}

// A Set holds all dependencies of a program. Check, Await and Watch must not run concurrently;
// Reached may be called at any time.
type Set struct {
	log     *slog.Logger
	up      *prometheus.GaugeVec
	members []*member
	reached atomic.Bool
}

type member struct {
	Dependency

	down   bool
	logged time.Time
}

// New returns a Set of all, and registers its metric.
func New(log *slog.Logger, metrics prometheus.Registerer, all ...Dependency) *Set {
	s := &Set{log: log, up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dependency_up", Help: "Whether what this program depends on can be reached (1) or not (0).",
	}, []string{"dependency"})}
	metrics.MustRegister(s.up)
	for _, d := range all {
		s.members = append(s.members, &member{Dependency: d})
		s.up.WithLabelValues(d.Name).Set(0)
	}
	return s
}

// errWaiting is returned by Reached before Await has succeeded.
var errWaiting = errors.New("dependency: not everything was reached yet")

// Reached returns nil once Await has reached everything, whatever happens later.
func (s *Set) Reached() error {
	if !s.reached.Load() {
		return errWaiting
	}
	return nil
}

// Check checks the dependencies that Await waits for, and returns all their errors.
func (s *Set) Check(ctx context.Context) error {
	_, err := s.missing(s.check(ctx))
	return err
}

// Await returns nil when all dependencies it waits for are reached, or when ctx ends. It returns
// all their errors as soon as waiting cannot help one of them.
func (s *Set) Await(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		errs := s.check(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the program is stopping, which is no error
		}
		hopeless, err := s.missing(errs)
		switch {
		case hopeless:
			return err
		case err == nil:
			s.reached.Store(true)
		}
		s.note(errs)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Watch checks everything every two seconds until ctx ends.
func (s *Set) Watch(ctx context.Context) {
	again := time.NewTicker(watchEvery)
	defer again.Stop()
	for {
		errs := s.check(ctx)
		if ctx.Err() != nil {
			return // the errors come from the cancellation
		}
		s.note(errs)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// check returns the result of each member's check, in the order of the members.
func (s *Set) check(ctx context.Context) []error {
	errs := make([]error, len(s.members))
	var all sync.WaitGroup
	for i, m := range s.members {
		all.Go(func() { errs[i] = m.Check(ctx) })
	}
	all.Wait()
	return errs
}

// missing returns the errors of the dependencies that Await waits for, and whether waiting is
// hopeless.
func (s *Set) missing(errs []error) (hopeless bool, err error) {
	for i, m := range s.members {
		if m.Away != nil && errs[i] != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.Name, errs[i]))
			_, distrusted := errors.AsType[*tls.CertificateVerificationError](errs[i])
			hopeless = hopeless || distrusted || !errors.Is(errs[i], m.Away)
		}
	}
	return hopeless, err
}

// note updates the metric of each member and logs the changes.
func (s *Set) note(errs []error) {
	for i, m := range s.members {
		switch err := errs[i]; {
		case err == nil:
			s.up.WithLabelValues(m.Name).Set(1)
			if m.down {
				s.log.Info("dependency reachable", "dependency", m.Name)
			}
			m.down = false
		case !m.down || time.Since(m.logged) >= repeatEvery:
			s.up.WithLabelValues(m.Name).Set(0)
			s.log.Warn("dependency unreachable, trying again", "dependency", m.Name, "ready", s.reached.Load(), "error", err)
			m.down, m.logged = true, time.Now()
		}
	}
}
