package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// patience bounds how long a failover may take on a busy machine.
const patience = 60 * time.Second

var home = session.Evidence{UserAgent: "Firefox", Network: "192.0.2.0/24"}

// sessions holds what a failover of Redis cannot lose.
type sessions struct {
	ring    *session.Ring
	records *memory.Sessions
}

func newSessions(t *testing.T) *sessions {
	t.Helper()
	ring, err := session.ParseRing([]byte(session.NewRingLine()))
	if err != nil {
		t.Fatal(err)
	}
	return &sessions{ring, new(memory.Sessions)}
}

// on returns a Service whose families are in client. It has no minimum interval between rotations.
func (s *sessions) on(client goredis.UniversalClient) *session.Service {
	return session.NewService(session.Config{
		Store:   redis.NewFamilies(client, session.Policy{Overlap: 10 * time.Second, Idle: time.Hour}),
		Records: s.records, Stream: redis.NewStream(client, time.Hour),
		Ring: func() *session.Ring { return s.ring }, Absolute: 24 * time.Hour, Rebuild: true, Now: time.Now, Observer: noObserver{},
	})
}

type noObserver struct{}

func (noObserver) Refreshed(session.Outcome) {}
func (noObserver) Ended(session.Record)      {}

func connect(t *testing.T, url string) goredis.UniversalClient {
	t.Helper()
	client, err := redis.Connect(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A browser holds the newest refresh token that it received.
type browser struct {
	session.Session

	service *session.Service
}

func signIn(t *testing.T, service *session.Service) *browser {
	t.Helper()
	s, err := service.Begin(t.Context(), session.Account{ID: "u"}, "app", "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	return &browser{s, service}
}

// refresh sends one refresh request with a timeout.
func (b *browser) refresh(t *testing.T, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	next, err := b.service.Refresh(ctx, b.RefreshToken, "app", home)
	if err == nil {
		b.Session = next
	}
	return err
}

func (b *browser) mustRefresh(t *testing.T) session.Outcome {
	t.Helper()
	if err := b.refresh(t, patience); err != nil {
		t.Fatalf("refresh of generation %d: error %v, want none", b.Generation, err)
	}
	return b.Outcome
}

func (b *browser) signOut(t *testing.T) {
	t.Helper()
	if err := b.service.Revoke(t.Context(), b.RefreshToken, "app"); err != nil {
		t.Fatal(err)
	}
}

// mustBeEnded fails unless a refresh is refused with ErrInvalidGrant.
func (b *browser) mustBeEnded(t *testing.T) {
	t.Helper()
	if err := b.refresh(t, patience); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("refresh of an ended session: %s, error %v; want %v", b.Outcome, err, session.ErrInvalidGrant)
	}
}

// mustBeUnavailable fails unless a refresh fails with ErrUnavailable only.
func (b *browser) mustBeUnavailable(t *testing.T) {
	t.Helper()
	err := b.refresh(t, 300*time.Millisecond)
	if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("refresh without a primary: %s, error %v; want %v", b.Outcome, err, session.ErrUnavailable)
	}
}

// recovers refreshes until it succeeds. It fails on any error but ErrUnavailable.
func (b *browser) recovers(t *testing.T, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// A server that fails at once must not be asked in a tight loop.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := b.refresh(t, 2*time.Second)
		if err == nil {
			return
		}
		if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrInvalidGrant) {
			t.Fatalf("refresh of generation %d: error %v, want %v", b.Generation, err, session.ErrUnavailable)
		}
		meanwhile()
		select {
		case <-ctx.Done():
			t.Fatalf("refresh still fails after %s, want a failover: %v", patience, err)
		case <-again.C:
		}
	}
}
