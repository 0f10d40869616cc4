// Package reload holds the content of a file that changes while the program runs: keys of a mounted
// Secret, a policy of a mounted ConfigMap. If the new content is invalid, the old content stays and
// Watch reports the error.
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
	// lookEvery is how often a file is read. The kubelet updates a mounted Secret or ConfigMap
	// within about a minute; this adds little to that.
	lookEvery = 2 * time.Second
	// settled is how many times in a row a file that is written in place must be read with the same
	// content before that is used. It might be half written, and the half might be valid.
	settled = 5
)

// A Text holds the last valid content of a text from any source.
type Text[T any] struct {
	name    string // for errors
	parse   func([]byte) (T, error)
	text    []byte // the last input, valid or not; nil if it could not be read
	good    bool   // text is valid
	current atomic.Pointer[T]
	read    atomic.Int64 // Unix nanoseconds
}

// NewText returns a Text without content. name is the prefix of its errors.
func NewText[T any](name string, parse func([]byte) (T, error)) *Text[T] {
	return &Text[T]{name: name, parse: parse}
}

// Current returns the last valid content, or T's zero value before there is any. It is safe for
// concurrent use.
func (t *Text[T]) Current() (content T) {
	if current := t.current.Load(); current != nil {
		content = *current
	}
	return content
}

// Read returns when valid content was last read, whether or not it had changed, or the zero time
// before there is any. It is safe for concurrent use.
func (t *Text[T]) Read() time.Time {
	if read := t.read.Load(); read != 0 {
		return time.Unix(0, read)
	}
	return time.Time{}
}

// Take makes text the current content. It reports whether text differs from the last input. If it
// does and is invalid, Take returns the error and the old content stays.
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

// A File holds the last valid content of a file.
type File[T any] struct {
	Text[T]
	at   string // where its symbolic links led to when it was last read
	next []byte // the content that has not settled yet
	seen int    // how many times in a row next was read
}

// Open reads the file at path for the first time. It fails if the content is invalid.
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

// Watch polls the file until ctx ends, and calls changed once for each change: with nil if the new
// content is now current, with an error if the old content stays. It polls because a mounted volume
// changes by swapping a link, which file notifications report differently on each platform.
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

// look reads the file and takes new content. The swap of a mounted volume's link is atomic, so its
// content is taken at once; any other file must have settled.
func (f *File[T]) look() (news bool, err error) {
	text, at, err := f.read()
	switch {
	case err != nil:
		news, f.text, f.next = f.text != nil, nil, nil
		return news, err
	case f.text != nil && bytes.Equal(text, f.text):
		f.at, f.next = at, nil
		return f.Take(text) // updates the time that Read returns
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

// read returns the file's content, and where its links lead. If a link is swapped in between, the
// old content looks new, which does no harm.
func (f *File[T]) read() (text []byte, at string, err error) {
	if text, err = os.ReadFile(f.name); err != nil {
		return nil, "", err //nolint:wrapcheck // it names the file already
	}
	at, err = filepath.EvalSymlinks(f.name)
	return text, at, err //nolint:wrapcheck // as above
}
