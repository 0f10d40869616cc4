package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is how often a key file is looked at. The kubelet brings a changed
// Secret into a pod within about a minute; this adds little to that.
const lookEvery = 2 * time.Second

// reloaded is what a file says now. A file that has become bad changes nothing:
// the last good content stays, and the log says so.
type reloaded[T any] struct {
	path    string
	parse   func([]byte) (T, error)
	text    []byte // of the last look, good or bad
	current atomic.Pointer[T]
}

// openFile reads the file at path for the first time; then it must be good.
func openFile[T any](path string, parse func([]byte) (T, error)) (*reloaded[T], error) {
	r := &reloaded[T]{path: path, parse: parse}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if err := r.take(text); err != nil {
		return nil, err
	}
	return r, nil
}

// Current returns the last good content.
func (r *reloaded[T]) Current() T { return *r.current.Load() }

func (r *reloaded[T]) take(text []byte) error {
	r.text = text
	v, err := r.parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	r.current.Store(&v)
	return nil
}

// watch looks at the file until ctx ends. It polls: a mounted Secret is changed
// by swapping a link, which file notifications report differently everywhere.
func (r *reloaded[T]) watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(r.path)
		if err != nil || bytes.Equal(text, r.text) {
			continue // a link is being swapped, or nothing is new
		}
		if err := r.take(text); err != nil {
			log.Error("keys not reloaded: the old ones stay", "error", err)
			continue
		}
		log.Info("keys reloaded", "file", r.path)
	}
}
