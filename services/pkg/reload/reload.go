// Package reload keeps what a file says while the file changes: keys of a
// mounted Secret, a policy of a mounted ConfigMap. A file that has become bad
// changes nothing; whoever watches is told so.
package reload

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often a file is looked at. The kubelet brings a changed
	// Secret or ConfigMap into a pod within about a minute; this adds little to that.
	lookEvery = 2 * time.Second
	// settled is in how many looks a file that is written in place must be the
	// same before it counts. Until then it may be half written, and the half may
	// be good by itself.
	settled = 5
)

// A Text is the last good content of a text, wherever it comes from.
type Text[T any] struct {
	name    string // for messages
	parse   func([]byte) (T, error)
	text    []byte // as it came last, good or bad; nil when it did not
	good    bool   // text is
	current atomic.Pointer[T]
	read    atomic.Int64 // Unix nanoseconds
}

// NewText returns a Text without content. name is what its faults are of.
func NewText[T any](name string, parse func([]byte) (T, error)) *Text[T] {
	return &Text[T]{name: name, parse: parse}
}

// Current returns the last good content, and T's zero value before there was
// one. Several goroutines may ask at once.
func (t *Text[T]) Current() (content T) {
	if current := t.current.Load(); current != nil {
		content = *current
	}
	return content
}

// Read returns when good content was last read, whether or not it had changed;
// the zero time before there was any.
func (t *Text[T]) Read() time.Time {
	if read := t.read.Load(); read != 0 {
		return time.Unix(0, read)
	}
	return time.Time{}
}

// Take makes text the current content. It reports whether it differs from the
// last one that came, and if so what is wrong with it: then the old content stays.
func (t *Text[T]) Take(text []byte) (news bool, err error) {
	if t.text != nil && bytes.Equal(text, t.text) {
		if t.good {
			t.read.Store(time.Now().UnixNano())
		}
		return false, nil
	}
	v, err := t.parse(text)
	t.text, t.good = text, err == nil
	if err != nil {
		return true, fmt.Errorf("%s: %w", t.name, err)
	}
	t.current.Store(&v)
	t.read.Store(time.Now().UnixNano())
	return true, nil
}

// A File is the last good content of a file.
type File[T any] struct {
	Text[T]
	at   string // where its symbolic links led to at the last look
	next []byte // what is there and does not count yet, and
	seen int    // in how many looks in a row it was
}

// Open reads the file at path for the first time; then it must be good.
func Open[T any](path string, parse func([]byte) (T, error)) (*File[T], error) {
	f := &File[T]{Text: Text[T]{name: path, parse: parse}}
	text, at, err := f.read()
	if err == nil {
		f.at = at
		_, err = f.Take(text)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

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

// look takes the file if it differs from the last look. A mounted volume is
// changed as a whole, by swapping a link; any other file must have settled.
func (f *File[T]) look() (news bool, err error) {
	text, at, err := f.read()
	switch {
	case err != nil:
		news, f.text, f.next = f.text != nil, nil, nil
		return news, err
	case f.text != nil && bytes.Equal(text, f.text):
		f.at, f.next = at, nil
		return f.Take(text) // it was read again
	case at != f.at:
		f.at, f.seen = at, settled
	case f.next == nil || !bytes.Equal(text, f.next):
		f.next, f.seen = text, 1
	default:
		f.seen++
	}
	if f.seen < settled {
		return false, nil
	}
	f.next = nil
	return f.Take(text)
}

// read returns what the file says, and where it is. A link that is swapped in
// between makes the old text look new, which is no harm.
func (f *File[T]) read() (text []byte, at string, err error) {
	if text, err = os.ReadFile(f.name); err != nil {
		return nil, "", err //nolint:wrapcheck // it names the file already
	}
	at, err = filepath.EvalSymlinks(f.name)
	return text, at, err //nolint:wrapcheck // as above
}
