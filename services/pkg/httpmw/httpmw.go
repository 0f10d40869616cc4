// Package httpmw holds the net/http middleware that every service puts around its router: request
// ID, access log, panic recovery, security headers, body limit. The caller of Chain sets the order.
// It works with any router, because it needs net/http alone.
package httpmw

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"lilypad.example/services/pkg/problem"
)

// Middleware wraps a handler.
type Middleware func(http.Handler) http.Handler

// Chain wraps h in mw. The first is the outermost.
func Chain(h http.Handler, mw ...Middleware) http.Handler {
	for _, wrap := range slices.Backward(mw) {
		h = wrap(h)
	}
	return h
}

// RequestIDHeader carries the ID that the log lines of one request have in common.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// RequestID takes the request's ID from its header, or generates one, and puts it into the context
// and the response.
func RequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(RequestIDHeader)
		if !validID(id) {
			id = rand.Text()
		}
		w.Header().Set(RequestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// GetRequestID returns the ID of the request that ctx belongs to, or "".
func GetRequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// validID reports whether id is short and needs no quotes in a log.
func validID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return true
}

type routeKey struct{}

// SetRoute sets the pattern that a router matched for the request that ctx belongs to, such as
// "/v1/sessions/:sid". AccessLog logs it.
func SetRoute(ctx context.Context, pattern string) {
	if route, ok := ctx.Value(routeKey{}).(*string); ok {
		*route = pattern
	}
}

// GetRoute returns the pattern of SetRoute, or "".
func GetRoute(ctx context.Context) string {
	if route, ok := ctx.Value(routeKey{}).(*string); ok {
		return *route
	}
	return ""
}

// AccessLog writes one line for each request. It never logs a path, a query, a header or a body,
// which may hold secrets and session IDs. Instead of the path it logs the route of SetRoute, which
// is empty if no route matches or the request is refused before it reaches the router.
func AccessLog(log *slog.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start, rec, route := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}, ""
			r = r.WithContext(context.WithValue(r.Context(), routeKey{}, &route))
			defer func() {
				log.LogAttrs(r.Context(), slog.LevelInfo, "request",
					slog.String("method", r.Method), slog.String("route", route),
					slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes),
					slog.Duration("took", time.Since(start)), slog.String("request_id", GetRequestID(r.Context())))
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// statusClientClosed is nginx's status for a client that closed its connection before the response.
const statusClientClosed = 499

// ClientLeft reports whether the cause of err is that the client closed its connection. Then nobody
// reads the response, and it is no error of the server. ClientLeft sets status 499 for the access
// log.
func ClientLeft(w http.ResponseWriter, r *http.Request, err error) bool {
	if r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
		return false
	}
	w.WriteHeader(statusClientClosed)
	return true
}

// LogError logs the error of a request that will be answered with a 5xx status. It returns false,
// and logs nothing, if the client has left; see ClientLeft.
func LogError(log *slog.Logger, w http.ResponseWriter, r *http.Request, err error) bool {
	if ClientLeft(w, r, err) {
		return false
	}
	ctx := r.Context()
	log.ErrorContext(ctx, "request failed", "route", GetRoute(ctx), "error", err, "request_id", GetRequestID(ctx))
	return true
}

// gateRetryAfter is the Retry-After of the response of Gate.
const gateRetryAfter = 5 * time.Second

// Gate answers 503 while ready returns an error: the handlers behind it do not work yet.
func Gate(ready func() error) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ready() != nil {
				p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "This service is starting. Please try again shortly.")
				p.RetryAfter = gateRetryAfter
				problem.Write(w, p)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Recover logs a panic and answers 500. It lets http.ErrAbortHandler pass, with which a handler
// closes its connection.
func Recover(log *slog.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := &recorder{ResponseWriter: w, status: http.StatusOK}
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if err, ok := p.(error); ok && err == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
					panic(p)
				}
				log.ErrorContext(r.Context(), "panic", "value", p, "stack", string(debug.Stack()), "request_id", GetRequestID(r.Context()))
				if rec.wrote {
					panic(http.ErrAbortHandler)
				}
				problem.Write(w, problem.From(nil))
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// LimitBody refuses request bodies above limit bytes. If Content-Length is above limit, it answers
// 413 at once; otherwise reading beyond limit fails. See Unread.
func LimitBody(limit int64) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > limit {
				problem.Write(w, tooLarge())
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
			next.ServeHTTP(w, r)
		})
	}
}

func tooLarge() *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, problem.TooLarge, "The request body is too large.")
}

// Unread returns the problem for an error of reading a body: 413 above the limit, 408 after the
// read timeout, nil for any other error.
func Unread(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem.New(http.StatusRequestTimeout, problem.TooSlow, "The request body did not arrive in time.")
	}
	return nil
}

// recorder records the status and size of a response.
type recorder struct {
	http.ResponseWriter

	status int
	bytes  int64
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status = status
		r.wrote = status >= http.StatusOK // 1xx responses precede the final one
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher, for routers that do not use Unwrap.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap gives http.ResponseController access to Flush and the deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
