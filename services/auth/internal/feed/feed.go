// Package feed passes the revocation stream on to everybody who verifies access
// tokens: one reader of Redis in this process, any number of followers.
//
// It keeps what the stream keeps, so that a follower that was away gets what it
// missed. It beats only while it hears Redis: a follower that hears nothing
// knows that it may be missing something.
package feed

import (
	"context"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// Beat is how often a follower hears from a healthy feed.
const Beat = time.Second

const (
	retryAfter = 200 * time.Millisecond
	// maxFollowers bounds the open connections.
	maxFollowers = 5000
)

// Source is the reading end of the stream; see redis.Stream.
type Source interface {
	Read(ctx context.Context, after string) ([]session.Entry, error)
}

// Feed passes a Source on. It is alive while Run runs.
type Feed struct {
	source Source
	keep   time.Duration

	mu        sync.Mutex
	followers int
	heard     time.Time
	// entries are in the order in which they came, one for each session. They
	// are never changed, so that followers read them without the lock.
	entries []Entry
	dropped int // how many entries there were before entries[0]
	reasons map[session.FamilyID]session.Reason
	more    chan struct{} // closed when entries are added
}

// An Entry is an entry of the stream.
type Entry struct {
	session.Entry

	at time.Time
}

// New returns a Feed of source that keeps entries for keep.
func New(source Source, keep time.Duration) *Feed {
	return &Feed{source: source, keep: keep, reasons: make(map[session.FamilyID]session.Reason), more: make(chan struct{})}
}

// Revoked implements authn.Revocations.
func (f *Feed) Revoked(sessionID string) (reason string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.reasons[session.FamilyID(sessionID)]
	return string(r), ok
}

// A Follower reads the feed at its own pace. It must be closed once.
type Follower struct {
	feed *Feed
	next int // the number of the entry to read next
}

// Follow returns a Follower of what comes after the entry with the id after: of
// everything that is kept if there is none. It returns nil when there are too
// many followers.
func (f *Feed) Follow(after string) *Follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers >= maxFollowers {
		return nil
	}
	f.followers++
	// From the end: a search costs no more than sending what it finds.
	from := len(f.entries)
	for from > 0 && f.entries[from-1].ID != after {
		from--
	}
	return &Follower{feed: f, next: f.dropped + from}
}

// Next returns the entries since the last call, and a channel that is closed
// when there are more.
func (w *Follower) Next() (entries []Entry, more <-chan struct{}) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	entries = f.entries[max(w.next-f.dropped, 0):]
	w.next = f.dropped + len(f.entries)
	return entries, f.more
}

// Close ends the following.
func (w *Follower) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.followers--
}

// Alive reports whether the stream was heard lately.
func (f *Feed) Alive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.heard) < 3*Beat
}

// Run reads the stream until ctx ends. It calls report with the first of each
// row of errors.
func (f *Feed) Run(ctx context.Context, report func(error)) {
	after, failing := "0", false
	for ctx.Err() == nil {
		entries, err := f.source.Read(ctx, after)
		if err != nil {
			if !failing && ctx.Err() == nil {
				report(err)
			}
			failing = true
			// The store may come back older than it was: begin again. Entries that are
			// known are skipped.
			after = "0"
			select {
			case <-ctx.Done():
			case <-time.After(retryAfter):
			}
			continue
		}
		failing = false
		if len(entries) > 0 {
			after = entries[len(entries)-1].ID
		}
		f.publish(entries)
	}
}

// publish adds the entries of sessions that are not known to have ended. What
// has been kept for long enough is dropped.
func (f *Feed) publish(entries []session.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.heard = now
	expired := 0
	for ; expired < len(f.entries) && now.Sub(f.entries[expired].at) > f.keep; expired++ {
		delete(f.reasons, f.entries[expired].Family)
	}
	f.entries = f.entries[expired:]
	f.dropped += expired
	before := len(f.entries)
	for _, e := range entries {
		if _, known := f.reasons[e.Family]; !known {
			f.reasons[e.Family] = e.Reason
			f.entries = append(f.entries, Entry{e, now})
		}
	}
	if len(f.entries) > before {
		close(f.more)
		f.more = make(chan struct{})
	}
}
