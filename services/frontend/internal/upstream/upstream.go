// Package upstream asks other services in the name of the one user whose
// request is being answered: with that user's own token, taken from the
// request's context, for one call at a time.
//
// It holds connections and nothing else. No header, token or answer outlives
// the request that it belongs to.
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/httpmw"
)

var (
	// ErrUnauthorized says that the service refused the user's token: it
	// expired on the way, or its session was ended.
	ErrUnauthorized = errors.New("upstream: token refused")
	// ErrNotFound says that the service has no such thing.
	ErrNotFound = errors.New("upstream: not found")
	// ErrUnavailable says that no usable answer came within the bound.
	ErrUnavailable = errors.New("upstream: unavailable")
)

const (
	within    = 2 * time.Second
	maxAnswer = 1 << 20
)

// A Service is one upstream.
type Service struct {
	base   string
	client *http.Client
}

// New returns the service at base, an absolute URL.
func New(base string) *Service {
	return &Service{
		base: strings.TrimRight(base, "/"),
		client: &http.Client{
			Timeout: within,
			// A redirect would carry the user's token to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			// Its own transport: the default one obeys HTTP_PROXY, which would
			// send tokens through it.
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: within}).DialContext,
				MaxIdleConnsPerHost:    64,
				IdleConnTimeout:        time.Minute,
				ResponseHeaderTimeout:  within,
				MaxResponseHeaderBytes: 32 << 10,
			},
		},
	}
}

// Do sends a request without a body in the name of ctx's user and decodes the
// JSON answer into out. It returns one of this package's errors, wrapped, or
// ctx's own once the client has gone.
func (s *Service) Do(ctx context.Context, method, path string, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	if token := authn.Authorization(ctx); token != "" {
		r.Header.Set("Authorization", token)
	}
	if id := httpmw.GetRequestID(ctx); id != "" {
		r.Header.Set(httpmw.RequestIDHeader, id)
	}
	w, err := s.client.Do(r)
	if err != nil {
		return fault(ctx, err)
	}
	defer w.Body.Close()
	if err := status(w.StatusCode); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	body, err := io.ReadAll(io.LimitReader(w.Body, maxAnswer+1))
	if err != nil {
		return fault(ctx, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("%s %s: %w: answer above %d bytes", method, path, ErrUnavailable, maxAnswer)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: %w: %w", method, path, ErrUnavailable, err)
	}
	return nil
}

func fault(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func status(code int) error {
	switch code {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusNotFound:
		return ErrNotFound
	default:
		return fmt.Errorf("%w: status %d", ErrUnavailable, code)
	}
}
