// Package upstream calls other services with the access token of the user whose request is being
// answered. It takes the token from the request's context for each call.
//
// It keeps connections but no headers, tokens or responses between requests.
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
	// ErrUnauthorized means that the service rejected the user's token: it expired in the meantime,
	// or its session was ended.
	ErrUnauthorized = errors.New("upstream: token refused")
	// ErrNotFound means that the service responded with 404.
	ErrNotFound = errors.New("upstream: not found")
	// ErrUnavailable means that the service gave no usable response in time.
	ErrUnavailable = errors.New("upstream: unavailable")
)

const (
	within    = 2 * time.Second
	maxAnswer = 1 << 20
	// tellWithin is the timeout of requests that change something. It is longer because password
	// hashing is slow, and after a timeout the user would not know whether the change was made.
	tellWithin = 15 * time.Second
)

// A Service is a client of one service.
type Service struct {
	base   string
	client *http.Client
}

// New returns a client of the service at base, an absolute URL.
func New(base string) *Service {
	return &Service{
		base: strings.TrimRight(base, "/"),
		client: &http.Client{
			// Following a redirect would send the user's token to another address.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			// http.DefaultTransport would send tokens through the proxy of HTTP_PROXY.
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: within}).DialContext,
				MaxIdleConnsPerHost:    64,
				IdleConnTimeout:        time.Minute,
				MaxResponseHeaderBytes: 32 << 10,
			},
		},
	}
}

// A Request creates a request to the service at server. Functions generated from an OpenAPI
// description have this type.
type Request func(server string) (*http.Request, error)

// To returns a Request without a body.
func To(method, path string) Request {
	return func(server string) (*http.Request, error) {
		return http.NewRequest(method, strings.TrimSuffix(server, "/")+path, http.NoBody) //nolint:noctx // send adds it
	}
}

// Do sends a request with the token of ctx's user and decodes the JSON response into out. It
// returns one of this package's errors, wrapped, or ctx's error if the client has disconnected. No
// error contains the path.
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

// read decodes a response of at most maxAnswer bytes.
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

// fault removes the URL that net/http includes in err: it may contain a session id, and errors are
// logged.
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
