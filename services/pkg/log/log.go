// Package log builds the one structured logger of a program.
//
// Lines are JSON or text. Times are UTC. Secrets have a type that redacts itself (config.Secret);
// this package does not search for secrets in messages.
package log

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// New returns a logger that writes to w. level is debug, info, warn or error; format is json or
// text. For any other value New returns an error that names it.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	var lowest slog.Level
	if err := lowest.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	opts := &slog.HandlerOptions{Level: lowest}
	switch format {
	case "json":
		return slog.New(utc{slog.NewJSONHandler(w, opts)}), nil
	case "text":
		return slog.New(utc{slog.NewTextHandler(w, opts)}), nil
	}
	return nil, fmt.Errorf("log format %q is neither json nor text", format)
}

// utc writes the time of each record in UTC, so that lines of several nodes can be sorted.
// HandlerOptions.ReplaceAttr would be called for every attribute of every line.
type utc struct{ slog.Handler }

// Handle implements slog.Handler.
func (h utc) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // the same handler
}

// WithAttrs implements slog.Handler.
func (h utc) WithAttrs(attrs []slog.Attr) slog.Handler { return utc{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h utc) WithGroup(name string) slog.Handler { return utc{h.Handler.WithGroup(name)} }
