package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/password"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/authn"
)

func TestEach503SaysWhenToComeBack(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want time.Duration
	}{
		"accounts": {user.ErrUnavailable, 5 * time.Second}, "sessions": {session.ErrUnavailable, 5 * time.Second}, "keys": {authn.ErrUnavailable, 5 * time.Second},
		"limits": {ratelimit.ErrUnavailable, 5 * time.Second}, "forms": {form.ErrUnavailable, 5 * time.Second}, "clients": {clientauth.ErrUnavailable, 5 * time.Second},
		"hash queue":               {&password.BusyError{RetryAfter: 11500 * time.Millisecond}, 12 * time.Second},
		"hash queue, short wait":   {&password.BusyError{RetryAfter: time.Millisecond}, time.Second},
		"hash queue, unknown wait": {password.ErrBusy, 5 * time.Second},
	} {
		p := toProblem(fmt.Errorf("wrapped: %w", errors.Join(c.err)))
		h := make(http.Header)
		p.SetHeader(h)
		if want := strconv.Itoa(int(c.want / time.Second)); p.Status != http.StatusServiceUnavailable || h.Get("Retry-After") != want {
			t.Errorf("%s: status %d with Retry-After %q, want 503 with %s", name, p.Status, h.Get("Retry-After"), want)
		}
	}
}
