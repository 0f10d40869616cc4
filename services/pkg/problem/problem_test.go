package problem_test

import (
	"net/http"
	"testing"
	"time"

	"lilypad.example/services/pkg/problem"
)

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  time.Duration
		want   string
	}{
		"a 503 always says when":           {http.StatusServiceUnavailable, 0, "5"},
		"a 503 says what is known":         {http.StatusServiceUnavailable, time.Minute, "60"},
		"a 503 never says at once":         {http.StatusServiceUnavailable, time.Nanosecond, "1"},
		"a 503 never says before":          {http.StatusServiceUnavailable, -time.Hour, "5"},
		"parts of a second are rounded":    {http.StatusTooManyRequests, 1001 * time.Millisecond, "2"},
		"others say nothing by themselves": {http.StatusForbidden, 0, ""},
	} {
		p := problem.New(c.status, problem.Unavailable, "")
		p.RetryAfter = c.after
		h := make(http.Header)
		p.SetHeader(h)
		if got := h.Get("Retry-After"); got != c.want {
			t.Errorf("%s: Retry-After %q, want %q", name, got, c.want)
		}
	}
}
