package dependency_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lilypad.example/services/pkg/dependency"
	"lilypad.example/services/pkg/revocation"
)

var errAway = errors.New("away")

// fake is a dependency whose state a test changes.
type fake struct {
	mu     sync.Mutex
	err    error
	checks int
}

func (f *fake) become(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fake) check(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checks++
	return f.err
}

// lines collects the log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was written since the last call.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func set(fakes map[string]*fake) (*dependency.Set, *prometheus.Registry, *lines) {
	log := &lines{}
	metrics := prometheus.NewRegistry()
	all := make([]dependency.Dependency, 0, len(fakes))
	for name, f := range fakes {
		all = append(all, dependency.Dependency{Name: name, Check: f.check, Away: errAway})
	}
	return dependency.New(slog.New(slog.NewTextHandler(log, nil)), metrics, all...), metrics, log
}

func wantUp(t *testing.T, metrics *prometheus.Registry, states map[string]int) {
	t.Helper()
	var want strings.Builder
	want.WriteString("# HELP dependency_up Whether what this program depends on can be reached (1) or not (0).\n# TYPE dependency_up gauge\n")
	for name, up := range states {
		fmt.Fprintf(&want, "dependency_up{dependency=%q} %d\n", name, up)
	}
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want.String())); err != nil {
		t.Error(err)
	}
}

func TestAwaitReturnsWhenEverythingIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &fake{err: errAway}, &fake{}
		s, metrics, log := set(map[string]*fake{"one": one, "two": two})
		done := make(chan error, 1)
		go func() { done <- s.Await(t.Context()) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s.Reached() == nil {
			t.Error("Reached is nil while one dependency is away")
		}
		wantUp(t, metrics, map[string]int{"one": 0, "two": 1})
		if text := log.take(); strings.Count(text, "dependency unreachable") != 10 || strings.Contains(text, "dependency=two") {
			t.Errorf("want 10 lines about one, one for each minute, and none about two:\n%s", text)
		}
		if n := one.checks; n < 120 || n > 140 {
			t.Errorf("%d attempts in 10 minutes, want one every 5 s and a few more at first", n)
		}
		one.become(nil)
		if err := <-done; err != nil || s.Reached() != nil {
			t.Errorf("Await: %v, Reached: %v, want nil for both", err, s.Reached())
		}
		wantUp(t, metrics, map[string]int{"one": 1, "two": 1})
		if text := log.take(); strings.Count(text, `"dependency reachable" dependency=one`) != 1 || strings.Contains(text, "dependency=two") {
			t.Errorf("want one line about the return of one, and none about two:\n%s", text)
		}
	})
}

func TestAwaitEndsWithAllFaultsAtOnce(t *testing.T) {
	for name, wrong := range map[string]error{
		"wrong password":    errors.New("wrong password"),
		"wrong certificate": fmt.Errorf("%w: %w", errAway, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, _ := set(map[string]*fake{"one": {err: wrong}, "two": {err: errAway}, "three": {}})
				began := time.Now()
				err := s.Await(t.Context())
				if !errors.Is(err, wrong) || !strings.Contains(err.Error(), "one: "+wrong.Error()) || !strings.Contains(err.Error(), "two: away") {
					t.Errorf("Await: %v, want what is wrong with one and two", err)
				}
				if !time.Now().Equal(began) || s.Reached() == nil {
					t.Errorf("Await waited for %v, Reached: %v, want no wait and an error", time.Since(began), s.Reached())
				}
			})
		})
	}
}

func TestAwaitDoesNotWaitForWhatAProgramStartsWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		optional := dependency.Dependency{Name: "auth", Check: func(context.Context) error { return errAway }}
		s := dependency.New(slog.New(slog.DiscardHandler), metrics, optional)
		if err := s.Await(t.Context()); err != nil || s.Reached() != nil {
			t.Errorf("Await: %v, Reached: %v, want nil for both", err, s.Reached())
		}
		wantUp(t, metrics, map[string]int{"auth": 0})
	})
}

func TestTheAuthServiceIsUpWhileItsFeedIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		nobody := &http.Client{Transport: silent{}}
		auth := dependency.Auth(revocation.NewFollower(ctx, "http://auth.test/v1/revocations", nobody, nil))
		if err := auth.Check(ctx); err != nil {
			t.Errorf("at the start: %v, want nil until the feed is silent for long", err)
		}
		time.Sleep(6 * time.Second)
		if err := auth.Check(ctx); err == nil || auth.Away != nil {
			t.Errorf("after 6 s of silence: %v, want an error; Away is %v, want nil", err, auth.Away)
		}
	})
}

// silent is a transport that never gets a response.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAFaultThatShowsLaterEndsAwaitToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, wrong := &fake{err: errAway}, errors.New("wrong password")
		s, _, _ := set(map[string]*fake{"one": one})
		done := make(chan error, 1)
		go func() { done <- s.Await(t.Context()) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		one.become(wrong)
		if err := <-done; !errors.Is(err, wrong) {
			t.Errorf("Await: %v, want %v", err, wrong)
		}
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := set(map[string]*fake{"one": {err: errAway}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Await(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil || s.Reached() == nil {
				t.Errorf("Await: %v, want nil; Reached: %v, want an error", err, s.Reached())
			}
		default:
			t.Error("Await is still running after its context ended")
		}
	})
}

func TestWatchTellsWhatGoesAndComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &fake{}
		s, metrics, log := set(map[string]*fake{"one": one})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := s.Await(ctx); err != nil {
			t.Fatal(err)
		}
		go s.Watch(ctx)
		for range 3 {
			one.become(errors.New("not even an error that Await would wait for"))
			time.Sleep(30 * time.Second)
			synctest.Wait()
			wantUp(t, metrics, map[string]int{"one": 0})
			one.become(nil)
			time.Sleep(30 * time.Second)
			synctest.Wait()
			wantUp(t, metrics, map[string]int{"one": 1})
			if text := log.take(); strings.Count(text, "\n") != 2 {
				t.Errorf("want one line for each change:\n%s", text)
			}
			if s.Reached() != nil {
				t.Errorf("Reached: %v, want nil whatever becomes unreachable later", s.Reached())
			}
		}
	})
}
