// Package dependency knows whether what a program needs from outside, such as
// a store, can be reached. At its start a program waits until all of it can
// (Await). From then on it watches (Watch): the log has a line when one goes or
// comes back, and the metric dependency_up shows the state. Readiness follows
// the start only; see httpserver.Ops.
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
	// Await pauses this long after its first attempt, and twice as long after
	// each further one.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// watchEvery is the pause between two checks of Watch.
	watchEvery = 2 * time.Second
	// repeatEvery is how often the log repeats that something is unreachable.
	repeatEvery = time.Minute
)

// A Dependency is something outside the process.
type Dependency struct {
	// Name is the metric's label and stands in the log.
	Name string
	// Check returns nil if it can be used now. It bounds its own time.
	Check func(context.Context) error
	// Away is what Check's error is (errors.Is) if trying again may help. Any
	// other error is a fault of the configuration, and ends Await; so is a
	// certificate that does not verify. Nil for what the program starts without:
	// Await does not wait for it.
	Away error
}

// feedPatience is how long the revocation feed, which beats every second, may be quiet.
const feedPatience = 5 * time.Second

// Auth is the auth service, for who follows its revocation feed: it is there
// while the feed is heard. It costs no request, and Await does not wait for it.
func Auth(feed *revocation.Follower) Dependency {
	return Dependency{Name: "auth", Check: func(context.Context) error {
		if quiet := feed.Silence(); quiet > feedPatience {
			return fmt.Errorf("the revocation feed has been quiet for %v", quiet.Round(time.Second))
		}
		return nil
	}}
}

// A Set is all dependencies of a program. One goroutine at a time may call
// Check, Await or Watch; anybody may call Reached.
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

// New returns the set of all, and registers its metric.
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

// errWaiting is the answer of Reached before Await has succeeded.
var errWaiting = errors.New("dependency: not everything was reached yet")

// Reached returns nil once Await has reached everything, whatever became of it since.
func (s *Set) Reached() error {
	if !s.reached.Load() {
		return errWaiting
	}
	return nil
}

// Check checks all that Await waits for, and returns all that is wrong.
func (s *Set) Check(ctx context.Context) error {
	_, err := s.missing(s.check(ctx))
	return err
}

// Await returns nil when everything it waits for is reached or ctx ends, and an
// error with all that is wrong when something fails in a way that waiting does not mend.
func (s *Set) Await(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		errs := s.check(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the program stops: what was not reached is no fault
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
			return // the errors are about the end
		}
		s.note(errs)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// check returns what each member's check says, in their order.
func (s *Set) check(ctx context.Context) []error {
	errs := make([]error, len(s.members))
	var all sync.WaitGroup
	for i, m := range s.members {
		all.Go(func() { errs[i] = m.Check(ctx) })
	}
	all.Wait()
	return errs
}

// missing is what keeps Await waiting, if anything does, and whether that is in vain.
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

// note puts the state of each member into the metric, and its changes into the log.
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
