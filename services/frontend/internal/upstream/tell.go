package upstream

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"lilypad.example/services/pkg/problem"
)

// FieldErrors are the fields of a request that a service rejected. Pages show their own text for
// each code.
type FieldErrors []problem.FieldError

// Error returns, for example, "upstream: invalid fields: password:too_short".
func (e FieldErrors) Error() string {
	var b strings.Builder
	b.WriteString("upstream: invalid fields:")
	for _, f := range e {
		b.WriteString(" " + f.Field + ":" + f.Code)
	}
	return b.String()
}

// RateLimitedError means that the user made too many attempts.
type RateLimitedError struct{ RetryAfter time.Duration }

func (e *RateLimitedError) Error() string {
	return "upstream: rate limited for " + e.RetryAfter.String()
}

// Tell sends a request that changes something, with the token of ctx's user. Nil means that the
// service confirmed the change. Besides the errors of Do it returns FieldErrors and
// *RateLimitedError. After ErrUnavailable, the change may or may not have been made.
func (s *Service) Tell(ctx context.Context, request Request) error {
	bounded, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	w, err := s.send(bounded, request)
	if err != nil {
		return fault(ctx, err)
	}
	defer w.Body.Close()
	switch w.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s: %w", s.base, &RateLimitedError{retryAfter(w.Header)})
	case http.StatusUnprocessableEntity:
		var refusal struct{ Errors FieldErrors }
		if err := s.read(ctx, w.Body, &refusal); err != nil {
			return err
		}
		return fmt.Errorf("%s: %w", s.base, refusal.Errors)
	case http.StatusOK: // the API responds with 204
		return fmt.Errorf("%s: %w: status 200", s.base, ErrUnavailable)
	}
	return fmt.Errorf("%s: %w", s.base, status(w.StatusCode))
}

// retryAfter returns Retry-After in seconds (RFC 9110 section 10.2.3), or a minute if it is
// missing, invalid or longer than a day.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 1 || n > 24*60*60 {
		return time.Minute
	}
	return time.Duration(n) * time.Second
}
