// Package stream ends answers that outlive their session: WebSockets, event
// streams, long downloads and uploads. Whoever forwards one adds it; the
// revocation feed and the session's absolute end take it down (R9). A refresh
// does not touch it: the session goes on.
package stream

import (
	"sync"
	"time"
)

// A Handle ends one exchange; see http1.Handle.
type Handle interface {
	comparable
	Abort()
}

// Registry holds the open streams by session.
type Registry[H Handle] struct {
	mu   sync.Mutex
	open map[string]map[H]struct{}
}

// New returns an empty Registry.
func New[H Handle]() *Registry[H] { return &Registry[H]{open: make(map[string]map[H]struct{})} }

// Add keeps h until remove is called, and ends it at end at the latest.
func (r *Registry[H]) Add(sessionID string, h H, end time.Time) (remove func()) {
	r.mu.Lock()
	of := r.open[sessionID]
	if of == nil {
		of = make(map[H]struct{})
		r.open[sessionID] = of
	}
	of[h] = struct{}{}
	r.mu.Unlock()
	timer := time.AfterFunc(time.Until(end), h.Abort)
	return func() {
		timer.Stop()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(of, h)
		if len(of) == 0 && len(r.open[sessionID]) == 0 {
			delete(r.open, sessionID)
		}
	}
}

// End ends all streams of a session.
func (r *Registry[H]) End(sessionID string) {
	r.mu.Lock()
	of := r.open[sessionID]
	delete(r.open, sessionID)
	ending := make([]H, 0, len(of))
	for h := range of {
		ending = append(ending, h)
	}
	r.mu.Unlock()
	for _, h := range ending {
		h.Abort()
	}
}

// Len returns how many streams are open.
func (r *Registry[H]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, of := range r.open {
		n += len(of)
	}
	return n
}
