package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/httpapi"
	"lilypad.example/services/auth/internal/session"
)

// stream is a feed.Source whose entries the test sends.
type stream chan []session.Entry

func (s stream) Read(ctx context.Context, _ string) ([]session.Entry, error) {
	select {
	case entries := <-s:
		return entries, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// slow is a ResponseWriter that blocks until taking is closed.
type slow struct {
	*httptest.ResponseRecorder

	taking  chan struct{}
	flushes int
}

func (s *slow) Write(b []byte) (int, error) { <-s.taking; return s.ResponseRecorder.Write(b) }

func (s *slow) Flush() { s.flushes++ }

func (*slow) SetWriteDeadline(time.Time) error { return nil }

func TestASlowFollowerGetsEveryRevocationInFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		ctx, stop := context.WithCancel(t.Context())
		source, done := make(stream), make(chan struct{})
		f := feed.New(source, time.Hour)
		go f.Run(ctx, func(error) {})
		w := &slow{ResponseRecorder: httptest.NewRecorder(), taking: make(chan struct{})}
		go func() {
			defer close(done)
			api := &httpapi.API{Feed: f, Log: slog.New(slog.DiscardHandler)}
			api.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/revocations", http.NoBody))
		}()
		synctest.Wait() // until the follower is connected
		for i := 0; i < n; i += 1000 {
			var entries []session.Entry
			for j := i; j < i+1000; j++ {
				entries = append(entries, session.Entry{ID: strconv.Itoa(j), Revocation: session.Revocation{Family: session.FamilyID(fmt.Sprintf("%022d", j)), Reason: session.ReasonLogout}})
			}
			source <- entries
		}
		synctest.Wait()
		close(w.taking)
		synctest.Wait()
		stop()
		<-done
		var want bytes.Buffer
		for i := range n {
			fmt.Fprintf(&want, "id: %d\ndata: {\"sid\":\"%022d\",\"reason\":\"logout\"}\n\n", i, i)
		}
		if !bytes.Contains(w.Body.Bytes(), want.Bytes()) {
			t.Errorf("got %d events, want %d in order", bytes.Count(w.Body.Bytes(), []byte("data:")), n)
		}
		if w.flushes > n/100 {
			t.Errorf("%d flushes for %d events, want at most %d", w.flushes, n, n/100)
		}
	})
}
