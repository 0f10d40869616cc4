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
	"net/url"
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
	// tellWithin bounds what changes something: a password is hashed to be
	// slow, and giving up early would leave the user in the dark.
	tellWithin = 15 * time.Second
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
			// A redirect would carry the user's token to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			// Its own transport: the default one obeys HTTP_PROXY, which would
			// send tokens through it.
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: within}).DialContext,
				MaxIdleConnsPerHost:    64,
				IdleConnTimeout:        time.Minute,
				MaxResponseHeaderBytes: 32 << 10,
			},
		},
	}
}

// A Request makes a request to the service at server. The functions that are
// generated from a contract are Requests.
type Request func(server string) (*http.Request, error)

// To returns a Request without a body.
func To(method, path string) Request {
	return func(server string) (*http.Request, error) {
		return http.NewRequest(method, strings.TrimSuffix(server, "/")+path, http.NoBody) //nolint:noctx // send adds it
	}
}

// Do sends a request in the name of ctx's user and decodes the JSON answer into
// out. It returns one of this package's errors, wrapped, or ctx's own once the
// client has gone. No error names the path.
func (s *Service) Do(ctx context.Context, request Request, out any) error {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	w, err := s.send(bounded, request)
	if err != nil {
		return fault(ctx, err)
	}
	defer w.Body.Close()
	if err := status(w.StatusCode); err != nil {
		return fmt.Errorf("%s: %w", s.base, err)
	}
	return s.read(ctx, w.Body, out)
}

func (s *Service) send(ctx context.Context, request Request) (*http.Response, error) {
	r, err := request(s.base + "/") // generated code resolves relative paths
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if token := authn.Authorization(ctx); token != "" {
		r.Header.Set("Authorization", token)
	}
	if id := httpmw.GetRequestID(ctx); id != "" {
		r.Header.Set(httpmw.RequestIDHeader, id)
	}
	return s.client.Do(r.WithContext(ctx))
}

// read decodes an answer of bounded length.
func (s *Service) read(ctx context.Context, body io.Reader, out any) error {
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return fault(ctx, err)
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%s: %w: answer above %d bytes", s.base, ErrUnavailable, maxAnswer)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s: %w: %w", s.base, ErrUnavailable, err)
	}
	return nil
}

// fault words err without the URL that net/http puts into it: it may hold the
// id of a session, and errors are logged.
func fault(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
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
