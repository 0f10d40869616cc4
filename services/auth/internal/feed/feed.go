// Package feed distributes the revocation stream to everyone who verifies access tokens, with one
// reader of Redis per process and many followers.
//
// It retains as much as the stream, so that a follower that reconnects gets what it missed. It is
// alive, and sends beats, only while it hears from Redis: a follower without beats knows that it
// may be missing revocations.
package feed

import (
	"context"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// Beat is the interval of beats from a live feed.
const Beat = time.Second

const (
	retryAfter = 200 * time.Millisecond
	// maxFollowers bounds the number of open connections.
	maxFollowers = 5000
)

// Source reads the stream; see redis.Stream.
type Source interface {
	Read(ctx context.Context, after string) ([]session.Entry, error)
}

// Feed distributes the entries of a Source while Run runs.
type Feed struct {
	source Source
	keep   time.Duration

	mu        sync.Mutex
	followers int
	heard     time.Time
	// entries are in order of arrival, one per session. They are never modified, so followers read
	// them without the lock.
	entries []Entry
	dropped int // the number of entries that were dropped before entries[0]
	reasons map[session.FamilyID]session.Reason
	more    chan struct{} // closed when entries are added
}

// An Entry is an entry of the stream.
type Entry struct {
	session.Entry

	at time.Time
}

// New returns a Feed of source that retains entries for the duration keep.
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

// Follow returns a Follower that starts behind the entry with ID after, or with the oldest retained
// entry if there is no such ID. It returns nil if there are too many followers.
func (f *Feed) Follow(after string) *Follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers >= maxFollowers {
		return nil
	}
	f.followers++
	// Search from the end: that costs no more than sending the entries that follow.
	from := len(f.entries)
	for from > 0 && f.entries[from-1].ID != after {
		from--
	}
	return &Follower{feed: f, next: f.dropped + from}
}

// Next returns the entries since the last call, and a channel that is closed when there are more.
func (w *Follower) Next() (entries []Entry, more <-chan struct{}) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	entries = f.entries[max(w.next-f.dropped, 0):]
	w.next = f.dropped + len(f.entries)
	return entries, f.more
}

// Close removes the follower from the feed.
func (w *Follower) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.followers--
}

// Alive reports whether the stream was read within the last three beats.
func (f *Feed) Alive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.heard) < 3*Beat
}

// Run reads the stream until ctx ends. It calls report with the first of consecutive errors.
func (f *Feed) Run(ctx context.Context, report func(error)) {
	after, failing := "0", false
	for ctx.Err() == nil {
		entries, err := f.source.Read(ctx, after)
		if err != nil {
			if !failing && ctx.Err() == nil {
				report(err)
			}
			failing = true
			// The store may have lost entries, so read it from the start. Known entries are skipped.
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

// publish adds the entries of sessions that are not yet known to have ended, and drops expired
// entries.
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
