// Package reload keeps what a file says while the file changes: keys of a
// mounted Secret, a policy of a mounted ConfigMap. A file that has become bad
// changes nothing; whoever watches is told so.
package reload

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is how often a file is looked at. The kubelet brings a changed
// Secret or ConfigMap into a pod within about a minute; this adds little to that.
const lookEvery = 2 * time.Second

// A File is the last good content of a file.
type File[T any] struct {
	path    string
	parse   func([]byte) (T, error)
	text    []byte // of the last look, good or bad; nil when it could not be read
	current atomic.Pointer[T]
}

// Open reads the file at path for the first time; then it must be good.
func Open[T any](path string, parse func([]byte) (T, error)) (*File[T], error) {
	f := &File[T]{path: path, parse: parse}
	if _, err := f.look(); err != nil {
		return nil, err
	}
	return f, nil
}

// Current returns the last good content. Several goroutines may ask at once.
func (f *File[T]) Current() T { return *f.current.Load() }

// Watch looks at the file until ctx ends, and calls changed once for each
// change: with nil when the new content is the current one from now on, with
// what is wrong when the old one stays. It polls: a mounted volume is changed by
// swapping a link, which file notifications report differently everywhere.
func (f *File[T]) Watch(ctx context.Context, changed func(error)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if news, err := f.look(); news {
			changed(err)
		}
	}
}

// look takes the file if it differs from the last look.
func (f *File[T]) look() (news bool, err error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		news, f.text = f.text != nil, nil
		return news, err //nolint:wrapcheck // it names the file already
	}
	if f.text != nil && bytes.Equal(text, f.text) {
		return false, nil
	}
	f.text = text
	v, err := f.parse(text)
	if err != nil {
		return true, fmt.Errorf("%s: %w", f.path, err)
	}
	f.current.Store(&v)
	return true, nil
}
