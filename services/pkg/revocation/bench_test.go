package revocation_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"lilypad.example/services/pkg/revocation"
)

// replay is a RoundTripper that returns a feed with n revocations, which then stays open and
// silent.
type replay int

func (n replay) RoundTrip(r *http.Request) (*http.Response, error) {
	var events bytes.Buffer
	for i := range n {
		fmt.Fprintf(&events, "id: %d-0\ndata: {\"sid\":%q,\"reason\":\"logout\"}\n\n", time.Now().UnixMilli(), sessionID(int(i)))
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body: io.NopCloser(io.MultiReader(&events, silent{r.Context()})),
	}, nil
}

// silent is a body without data that stays open until the request is canceled.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }

// sessionID returns an ID of the length of real ones.
func sessionID(i int) string { return fmt.Sprintf("session-%014d", i) }

// replayed returns a Follower that has read n revocations.
func replayed(tb testing.TB, n int) *revocation.Follower {
	tb.Helper()
	all, known := make(chan struct{}), 0
	f := revocation.NewFollower(tb.Context(), "http://auth/v1/revocations", &http.Client{Transport: replay(n)}, func(revocation.Event) {
		if known++; known == n {
			close(all)
		}
	})
	<-all
	return f
}

func BenchmarkReplay(b *testing.B) {
	for _, n := range []int{1_000, 6_800, 20_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				replayed(b, n)
			}
			runtime.ReadMemStats(&after)
			revocations := float64(b.N * n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/revocations, "ns/revocation")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/revocations, "B/revocation")
			b.ReportMetric(float64(after.HeapSys)/(1<<20), "heap-MB")
		})
	}
}

func BenchmarkRevoked(b *testing.B) {
	f := replayed(b, 10_000)
	for name, id := range map[string]string{"ended": sessionID(5_000), "alive": "no-such-session-------"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					f.Revoked(id)
				}
			})
		})
	}
}
