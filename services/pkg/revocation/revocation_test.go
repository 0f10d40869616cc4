package revocation_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/revocation"
)

// feed is a revocation feed that sends the lines of a test. An empty line closes the connection.
type feed struct {
	lines chan string
	mu    sync.Mutex
	seen  []string // the Last-Event-ID of each connection
}

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Header.Get("Last-Event-ID"))
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, ": hello\n\n")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case line := <-f.lines:
			if line == "" {
				return
			}
			_, _ = fmt.Fprint(w, line)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func (f *feed) connections() []string { f.mu.Lock(); defer f.mu.Unlock(); return f.seen }

func follow(t *testing.T) (*revocation.Follower, *feed, <-chan revocation.Event) {
	t.Helper()
	f := &feed{lines: make(chan string)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	told := make(chan revocation.Event, 10)
	return revocation.NewFollower(t.Context(), server.URL, nil, func(r revocation.Event) { told <- r }), f, told
}

func next(t *testing.T, told <-chan revocation.Event) revocation.Event {
	t.Helper()
	select {
	case r := <-told:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no event arrived within 20 s")
	}
	return revocation.Event{}
}

func TestAFollowerKnowsEndedSessionsAndResumes(t *testing.T) {
	follower, feed, told := follow(t)
	if _, known := follower.Revoked("s1"); known {
		t.Error("s1 is revoked before its event was sent")
	}
	feed.lines <- "id: 1700000000000-0\ndata: {\"sid\":\"s1\",\"reason\":\"logout\"}\n\n"
	if r := next(t, told); r.SessionID != "s1" || r.Reason != "logout" || r.At.UnixMilli() != 1700000000000 || why(follower, "s1") != "logout" || why(follower, "s2") != "" {
		t.Errorf("event %+v, want the logout of s1 known and nothing of s2", r)
	}
	feed.lines <- "" // the connection ends
	feed.lines <- "id: 1700000000001-0\ndata: {\"sid\":\"s2\",\"reason\":\"reuse\"}\n\n"
	next(t, told)
	if c := feed.connections(); len(c) != 2 || c[0] != "" || c[1] != "1700000000000-0" {
		t.Errorf("Last-Event-ID of the connections %q, want none and then 1700000000000-0", c)
	}
	if why(follower, "s1") != "logout" || why(follower, "s2") != "reuse" {
		t.Errorf("reasons %q of s1 and %q of s2, want logout and reuse", why(follower, "s1"), why(follower, "s2"))
	}
}

func TestAFollowerSurvivesNonsense(t *testing.T) {
	follower, feed, told := follow(t)
	for _, nonsense := range []string{"data: x\n\n", "data: {}\n\n", "hm\n\ndata: []\n\n"} {
		feed.lines <- nonsense
	}
	feed.lines <- "id: x\ndata: {\"sid\":\"s1\",\"reason\":\"logout\"}\n\n"
	if r := next(t, told); r.SessionID != "s1" || !r.At.IsZero() {
		t.Errorf("event %+v, want the logout of s1 without a time", r)
	}
	if follower.Silence() > time.Minute {
		t.Errorf("Silence is %v, want a minute at most", follower.Silence())
	}
}

// TestRevocationsCostTheSameHoweverManyAreKnown checks that adding a revocation does not copy the
// known ones, which would take a megabyte at this number.
func TestRevocationsCostTheSameHoweverManyAreKnown(t *testing.T) {
	const n, most = 20_000, 8 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f := replayed(t, n)
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > most {
		t.Errorf("%d bytes allocated for each of %d revocations, want at most %d", each, n, most)
	}
	for i := range n {
		if why(f, sessionID(i)) != "logout" {
			t.Fatalf("revocation %d of %d is not known", i, n)
		}
	}
}

// queue is a feed that sends each event of the channel once.
type queue chan string

func (q queue) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: connection{r.Context(), q}}, nil
}

type connection struct {
	ctx context.Context
	q   queue
}

func (c connection) Read(p []byte) (int, error) {
	select {
	case event := <-c.q:
		return copy(p, event), nil
	case <-c.ctx.Done():
		return 0, c.ctx.Err()
	}
}

func (connection) Close() error { return nil }

func TestAFollowerForgetsWhatNoTokenCanSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		q := make(queue)
		f := revocation.NewFollower(ctx, "http://auth/v1/revocations", &http.Client{Transport: q}, nil)
		for i, want := range [][]string{{"0"}, {"0", "1"}, {"1", "2"}, {"2", "3"}} {
			if i > 0 {
				time.Sleep(16 * time.Minute) // the bubble's clock
			}
			q <- fmt.Sprintf("data: {\"sid\":\"%d\",\"reason\":\"logout\"}\n\n", i)
			synctest.Wait()
			time.Sleep(authn.MaxLife + 2*authn.Leeway)
			var known []string
			for j := range i + 1 {
				if id := strconv.Itoa(j); why(f, id) != "" {
					known = append(known, id)
				}
			}
			if !slices.Equal(known, want) {
				t.Errorf("after revocation %d the follower knows %v, want %v", i, known, want)
			}
		}
	})
}

// why returns the reason of a revocation that f knows, or "".
func why(f *revocation.Follower, sessionID string) string {
	reason, _ := f.Revoked(sessionID)
	return reason
}
