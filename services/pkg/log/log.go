// Package log builds the one structured logger of a program.
//
// Lines are JSON for machines or text for people. Times are UTC. Whatever is
// secret has a type that redacts itself (config.Secret); this package does not
// search for secrets in messages.
package log

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// New returns a logger that writes to w. level is one of debug, info, warn
// and error; format is json or text. Anything else is an error that names it.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	var lowest slog.Level
	if err := lowest.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	opts := &slog.HandlerOptions{Level: lowest, ReplaceAttr: utc}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q is neither json nor text", format)
}

// utc writes the line's own time in UTC, so that lines of several nodes sort.
func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		if t, ok := a.Value.Any().(time.Time); ok {
			a.Value = slog.TimeValue(t.UTC())
		}
	}
	return a
}
