// Package stream aborts exchanges in progress when their session ends: WebSockets,
// event streams, long downloads and uploads. A session ends by revocation or at its
// absolute end; a token refresh has no effect.
package stream

import (
	"sync"
	"time"
)

// A Handle aborts one exchange; see http1.Handle.
type Handle interface {
	comparable
	Abort()
}

// Registry holds the exchanges in progress by session.
type Registry[H Handle] struct {
	mu   sync.Mutex
	open map[string]map[H]struct{}
}

// New returns an empty Registry.
func New[H Handle]() *Registry[H] { return &Registry[H]{open: make(map[string]map[H]struct{})} }

// Add registers h until remove is called. It aborts h at end.
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

// End aborts all exchanges of a session.
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

// Len returns the number of registered exchanges.
func (r *Registry[H]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, of := range r.open {
		n += len(of)
	}
	return n
}
