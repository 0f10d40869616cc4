// Package httpmw holds the net/http middleware that every service puts around
// its router: request id, access log, recovery, security headers, body bound.
// The order is one readable list at the place that calls Chain. It is plain
// net/http, so that it does not matter which router is inside.
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

// Chain wraps h in mw; the first is the outermost.
func Chain(h http.Handler, mw ...Middleware) http.Handler {
	for _, wrap := range slices.Backward(mw) {
		h = wrap(h)
	}
	return h
}

// RequestIDHeader carries the id that ties the log lines of one request.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// RequestID takes the request's id from its header, or makes one, and puts it
// into the context and the answer.
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

// GetRequestID returns the id of the request that ctx belongs to, or "".
func GetRequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// validID keeps ids short and free of anything that a log would have to quote.
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

// SetRoute tells AccessLog the pattern that a router found for the request that
// ctx belongs to, such as "/v1/sessions/:sid".
func SetRoute(ctx context.Context, pattern string) {
	if route, ok := ctx.Value(routeKey{}).(*string); ok {
		*route = pattern
	}
}

// GetRoute returns the pattern that SetRoute was told, or "".
func GetRoute(ctx context.Context) string {
	if route, ok := ctx.Value(routeKey{}).(*string); ok {
		return *route
	}
	return ""
}

// AccessLog writes a line a request: never a path, a query, a header or a body,
// for those may hold secrets and the ids of sessions. Instead of the path it
// has the route of SetRoute, which is empty for a request that no route takes
// or that was refused before it came to the router.
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

// statusClientClosed is what nginx logs for a client that left before the answer.
const statusClientClosed = 499

// ClientLeft reports whether err came of the client's closing its connection:
// nobody reads an answer then, and nothing is wrong with us. It sets status 499
// for the access log.
func ClientLeft(w http.ResponseWriter, r *http.Request, err error) bool {
	if r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
		return false
	}
	w.WriteHeader(statusClientClosed)
	return true
}

// LogError logs the error of a request that is to be answered with a 5xx status.
// It reports false if there is nobody to answer; see ClientLeft.
func LogError(log *slog.Logger, w http.ResponseWriter, r *http.Request, err error) bool {
	if ClientLeft(w, r, err) {
		return false
	}
	ctx := r.Context()
	log.ErrorContext(ctx, "request failed", "route", GetRoute(ctx), "error", err, "request_id", GetRequestID(ctx))
	return true
}

// gateRetryAfter is what a client is told to wait that comes too early.
const gateRetryAfter = 5 * time.Second

// Gate answers 503 while ready returns an error: what follows cannot do yet.
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

// Recover turns a panic into a logged 500. http.ErrAbortHandler passes: it is
// the way to end a connection.
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

// LimitBody refuses request bodies above limit bytes: a declared length at
// once with 413, another by an error to whoever reads past it.
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

// Unread returns the problem of a body whose reading failed with err: 413 above
// the limit, 408 when it took too long. Nil if err is another error.
func Unread(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem.New(http.StatusRequestTimeout, problem.TooSlow, "The request body did not arrive in time.")
	}
	return nil
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter

	status int
	bytes  int64
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status = status
		r.wrote = status >= http.StatusOK // 1xx answers come before the real one
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Flush sends what was written so far, for routers that look for a Flusher and
// pass over everything else.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController reach Flush and the deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
