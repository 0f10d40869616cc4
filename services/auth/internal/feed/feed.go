// Package feed hands the revocation stream on to everybody who verifies access
// tokens: one reader of Redis in this process, any number of followers.
//
// It keeps what the stream keeps, so that a follower who was away gets what it
// missed. It beats only while it hears Redis: a follower that hears nothing
// knows that it may be missing something (promise 3 of the design).
package feed

import (
	"context"
	"slices"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// Beat is how often a follower hears from a healthy feed.
const Beat = time.Second

const (
	retryAfter = 200 * time.Millisecond
	// backlog is what a slow follower may have waiting; beyond it it is dropped
	// and comes again for what it missed.
	backlog = 1024
	// maxFollowers bounds the open connections (R11).
	maxFollowers = 5000
)

// Source is the reading end of the stream; see redis.Stream.
type Source interface {
	Read(ctx context.Context, after string) ([]session.Entry, error)
}

// Feed is the hand-on. Run must run for it to be alive.
type Feed struct {
	source Source
	keep   time.Duration

	mu        sync.Mutex
	entries   []kept
	followers map[*Follower]struct{}
	heard     time.Time
}

type kept struct {
	session.Entry

	at time.Time
}

// New returns a Feed of source that keeps entries for keep.
func New(source Source, keep time.Duration) *Feed {
	return &Feed{source: source, keep: keep, followers: make(map[*Follower]struct{})}
}

// A Follower gets entries as they come. It must be closed.
type Follower struct {
	feed *Feed
	// Entries is closed when the follower is too slow.
	Entries chan session.Entry
}

// Follow returns what is kept behind the entry called after, everything if that
// is unknown, and a Follower of what comes. It returns nil when too many follow.
func (f *Feed) Follow(after string) ([]session.Entry, *Follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.followers) >= maxFollowers {
		return nil, nil
	}
	from := slices.IndexFunc(f.entries, func(k kept) bool { return k.ID == after }) + 1 // 0 if unknown
	var missed []session.Entry
	for _, k := range f.entries[from:] {
		missed = append(missed, k.Entry)
	}
	follower := &Follower{feed: f, Entries: make(chan session.Entry, backlog)}
	f.followers[follower] = struct{}{}
	return missed, follower
}

// Close ends the following.
func (w *Follower) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	delete(w.feed.followers, w)
}

// Alive reports whether the stream was heard lately.
func (f *Feed) Alive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.heard) < 3*Beat
}

// Run reads the stream until ctx ends. report is told of failures, once each
// time that they begin.
func (f *Feed) Run(ctx context.Context, report func(error)) {
	after, failing := "0", false
	for ctx.Err() == nil {
		entries, err := f.source.Read(ctx, after)
		if err != nil {
			if !failing && ctx.Err() == nil {
				report(err)
			}
			failing = true
			// The store may come back older than it was: begin again. What is
			// said twice does no harm.
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

func (f *Feed) publish(entries []session.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.heard = now
	f.entries = slices.DeleteFunc(f.entries, func(k kept) bool { return now.Sub(k.at) > f.keep })
	for _, e := range entries {
		if slices.ContainsFunc(f.entries, func(k kept) bool { return k.ID == e.ID }) {
			continue
		}
		f.entries = append(f.entries, kept{e, now})
		for w := range f.followers {
			select {
			case w.Entries <- e:
			default:
				delete(f.followers, w)
				close(w.Entries)
			}
		}
	}
}
