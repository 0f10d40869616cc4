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

// patience bounds what several servers have to agree on, on a busy machine.
const patience = 60 * time.Second

var home = session.Evidence{UserAgent: "Firefox", Network: "192.0.2.0/24"}

// sessions is what does not go with Redis: a ring and the records.
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

// on is an auth service whose families are in client. It rotates whenever it is asked to.
func (s *sessions) on(client goredis.UniversalClient) *session.Service {
	return session.NewService(session.Config{
		Store:   redis.NewFamilies(client, session.Policy{Overlap: 10 * time.Second, Idle: time.Hour}),
		Records: s.records, Stream: redis.NewStream(client, time.Hour),
		Ring: func() *session.Ring { return s.ring }, Absolute: 24 * time.Hour, Rebuild: true, Now: time.Now, Observer: deaf{},
	})
}

type deaf struct{}

func (deaf) Refreshed(session.Outcome) {}
func (deaf) Ended(session.Record)      {}

// connect is Connect as the auth service does it.
func connect(t *testing.T, url string) goredis.UniversalClient {
	t.Helper()
	client, err := redis.Connect(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A browser holds the newest refresh token that it was given.
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

// refresh is one request, whose caller has this long.
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
		t.Fatalf("generation %d: %v", b.Generation, err)
	}
	return b.Outcome
}

func (b *browser) signOut(t *testing.T) {
	t.Helper()
	if err := b.service.Revoke(t.Context(), b.RefreshToken, "app"); err != nil {
		t.Fatal(err)
	}
}

// mustBeOut fails unless the session is over for good.
func (b *browser) mustBeOut(t *testing.T) {
	t.Helper()
	if err := b.refresh(t, patience); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("who was signed out is back: %s, %v", b.Outcome, err)
	}
}

// mustBeTold fails unless an outage is what it looks like, and nothing worse.
func (b *browser) mustBeTold(t *testing.T) {
	t.Helper()
	err := b.refresh(t, 300*time.Millisecond)
	if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("while there is no primary: %s, %v, want %v", b.Outcome, err, session.ErrUnavailable)
	}
}

// comesBack refreshes until it works, and fails if it ever looks like a logout.
func (b *browser) comesBack(t *testing.T, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// A request a moment: what answers at once must not be asked in a tight loop.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := b.refresh(t, 2*time.Second)
		if err == nil {
			return
		}
		if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrInvalidGrant) {
			t.Fatalf("generation %d: %v", b.Generation, err)
		}
		meanwhile()
		select {
		case <-ctx.Done():
			t.Fatalf("nobody took over: %v", err)
		case <-again.C:
		}
	}
}
