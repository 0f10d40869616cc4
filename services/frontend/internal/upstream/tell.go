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

// FieldErrors say what a service found wrong with what it was told. Only its
// codes are for showing: the page has words of its own.
type FieldErrors []problem.FieldError

// Error returns the faults as "upstream: invalid fields: password:too_short".
func (e FieldErrors) Error() string {
	var b strings.Builder
	b.WriteString("upstream: invalid fields:")
	for _, f := range e {
		b.WriteString(" " + f.Field + ":" + f.Code)
	}
	return b.String()
}

// RateLimitedError says that the user has tried too often.
type RateLimitedError struct{ RetryAfter time.Duration }

func (e *RateLimitedError) Error() string {
	return "upstream: rate limited for " + e.RetryAfter.String()
}

// Tell sends a request that changes something in the name of ctx's user. Nil
// means that the service did it.
// Besides the errors of Do there are FieldErrors and *RateLimitedError. After
// ErrUnavailable nobody knows whether it was done.
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
	case http.StatusOK: // not what was agreed on
		return fmt.Errorf("%s: %w: status 200", s.base, ErrUnavailable)
	}
	return fmt.Errorf("%s: %w", s.base, status(w.StatusCode))
}

// retryAfter reads Retry-After in seconds (RFC 9110 section 10.2.3), and makes
// a minute of what is none or would keep somebody waiting for a day.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 1 || n > 24*60*60 {
		return time.Minute
	}
	return time.Duration(n) * time.Second
}
