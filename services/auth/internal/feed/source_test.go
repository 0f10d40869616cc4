package feed_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/session"
)

// stream is a Source that a test writes to. Nil entries make Read fail.
type stream chan []session.Entry

func (s stream) Read(ctx context.Context, _ string) ([]session.Entry, error) {
	select {
	case entries := <-s:
		if entries == nil {
			return nil, errors.New("no Redis")
		}
		return entries, nil
	case <-time.After(time.Second):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// numbered returns the entries from first to last.
func numbered(first, last int) (entries []session.Entry) {
	for i := first; i <= last; i++ {
		entries = append(entries, session.Entry{ID: strconv.Itoa(i), Revocation: session.Revocation{Family: family(i), Reason: session.ReasonLogout}})
	}
	return entries
}

func family(i int) session.FamilyID { return session.FamilyID(fmt.Sprintf("%022d", i)) }

// run returns a running Feed of a stream, inside a synctest bubble.
func run(t *testing.T, keep time.Duration) (*feed.Feed, stream) {
	t.Helper()
	s := make(stream)
	f := feed.New(s, keep)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx, func(error) {}) }()
	t.Cleanup(func() { stop(); <-done })
	return f, s
}

// mustNext fails the test unless a follower reads the entries from first to last next.
func mustNext(t *testing.T, what string, w *feed.Follower, first, last int) {
	t.Helper()
	entries, _ := w.Next()
	if len(entries) != last-first+1 {
		t.Fatalf("%s: got %d entries, want %d", what, len(entries), last-first+1)
	}
	for i, e := range entries {
		if e.Family != family(first+i) {
			t.Fatalf("%s: entry %d is of session %s, want %s", what, i, e.Family, family(first+i))
		}
	}
}

func TestASlowFollowerGetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, half = 20_000, 10_000
		f, s := run(t, time.Hour)
		slow := f.Follow("")
		defer slow.Close()
		_, more := slow.Next()
		for i := 1; i <= n; i += 1000 {
			s <- numbered(i, i+999)
		}
		synctest.Wait()
		select {
		case <-more:
		default:
			t.Error("the follower's channel is open, want it closed by new entries")
		}
		mustNext(t, "slow", slow, 1, n)
		mustNext(t, "nothing new", slow, 1, 0)
		for after, first := range map[string]int{"": 1, "unknown": 1, strconv.Itoa(half): half + 1, strconv.Itoa(n): n + 1} {
			w := f.Follow(after)
			mustNext(t, "after "+strconv.Quote(after), w, first, n)
			w.Close()
		}
	})
}

func TestASessionIsSentOnceAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := run(t, 5*time.Minute)
		w := f.Follow("")
		defer w.Close()
		s <- numbered(1, 10)
		s <- nil // the feed reads from the start again: known and new entries
		s <- numbered(1, 20)
		synctest.Wait()
		mustNext(t, "after a failure", w, 1, 20)
		mustKnow := func(first, last int) {
			t.Helper()
			for i := range 40 {
				reason, ok := f.Revoked(string(family(i)))
				if want := first <= i && i <= last; ok != want || ok && reason != "logout" {
					t.Errorf("session %d: reason %q, revoked %v, want %v", i, reason, ok, want)
				}
			}
		}
		mustKnow(1, 20)
		time.Sleep(4 * time.Minute) // the bubble's clock
		s <- numbered(21, 30)
		synctest.Wait()
		mustKnow(1, 30)
		time.Sleep(2 * time.Minute)
		mustKnow(21, 30)
		mustNext(t, "after some have expired", w, 21, 30)
		all := f.Follow("1")
		defer all.Close()
		mustNext(t, "after an expired ID", all, 21, 30)
	})
}

// one is a Source that returns its entries one at a time, and closes all at the end.
type one struct {
	entries []session.Entry
	all     chan struct{}
}

func (o *one) Read(ctx context.Context, _ string) ([]session.Entry, error) {
	if len(o.entries) == 0 {
		close(o.all)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	next := o.entries[:1]
	o.entries = o.entries[1:]
	return next, nil
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1_000, 20_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			entries := numbered(1, n)
			for b.Loop() {
				ctx, stop := context.WithCancel(b.Context())
				source := &one{entries, make(chan struct{})}
				go feed.New(source, time.Hour).Run(ctx, func(error) {})
				<-source.all
				stop()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/revocation")
		})
	}
}
