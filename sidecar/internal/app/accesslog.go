package app

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"

	"lilypad.example/sidecar/internal/http1"
)

// logExchange counts and logs a finished exchange, without its query, header or body.
func (h *handler) logExchange(x *http1.Exchange) {
	f := x.Facts()
	h.count(&f)
	if h.isLogged(&f) {
		h.logRequest(context.Background(), &x.Request, x.ID(), &f)
	}
}

func (h *handler) count(f *http1.Facts) {
	h.metrics.count(f.Status, f.Reason)
	h.metrics.duration.Observe(f.Took.Seconds())
}

func (h *handler) logRequest(ctx context.Context, q *http1.Request, id string, f *http1.Facts) {
	if !h.accessLog.Enabled(ctx, slog.LevelInfo) {
		return
	}
	// Not by LogAttrs, which walks the stack for the line of code: nobody is told it.
	line := slog.NewRecord(f.Start.Add(f.Took), slog.LevelInfo, "request", 0)
	line.AddAttrs(
		slog.String("method", q.Method), slog.String("path", q.Path), slog.Int("status", f.Status),
		slog.String("reason", string(f.Reason)), slog.Int64("bytes_in", f.BytesIn), slog.Int64("bytes_out", f.BytesOut),
		slog.Duration("took", f.Took), slog.Duration("upstream", f.Upstream), slog.String("request_id", id))
	_ = h.accessLog.Handle(ctx, line) // what cannot be logged cannot be reported either
}

// isLogged reports whether an exchange belongs in the access log.
func (h *handler) isLogged(f *http1.Facts) bool {
	wrong := f.Status >= http.StatusInternalServerError || f.Reason != http1.ReasonNone
	switch h.logs {
	case "none":
		return false
	case "errors":
		return wrong
	case "sampled":
		return wrong || rand.IntN(h.logOneOf) == 0 //nolint:gosec // not a secret
	}
	return true
}

// refused counts and logs what never became an exchange.
func (h *handler) refused(r http1.Refusal) {
	h.metrics.count(r.Status, r.Reason)
	level := slog.LevelInfo
	if r.Reason == http1.ReasonOverloaded {
		level = slog.LevelDebug // there are many, and they are counted
	}
	h.log.Log(context.Background(), level, "request refused", "status", r.Status, "reason", string(r.Reason), "detail", r.Detail, "remote", r.Remote.Addr().String())
}

func (h *handler) panicked(x *http1.Exchange, value any, stack []byte) {
	h.log.Error("panic", "value", value, "stack", string(stack), "request_id", x.ID())
}
