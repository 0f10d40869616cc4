// Package httpmw holds the net/http middleware that every service puts around
// its router: request id, access log, recovery, security headers, body bound.
// The order is one readable list at the place that calls Chain. It is plain
// net/http, so that it does not matter which router is inside.
package httpmw

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
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

// AccessLog writes a line a request: never a query, a header or a body, for
// those may hold secrets (R12).
func AccessLog(log *slog.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
			defer func() {
				log.LogAttrs(r.Context(), slog.LevelInfo, "request",
					slog.String("method", r.Method), slog.String("path", r.URL.Path),
					slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes),
					slog.Duration("took", time.Since(start)), slog.String("request_id", GetRequestID(r.Context())))
			}()
			next.ServeHTTP(rec, r)
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
// once with 413, another by an error to whoever reads past it (R11).
func LimitBody(limit int64) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > limit {
				problem.Write(w, problem.New(http.StatusRequestEntityTooLarge, problem.TooLarge, "The request body is too large."))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
			next.ServeHTTP(w, r)
		})
	}
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
