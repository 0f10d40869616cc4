package clientauth

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// The limits of each lane: reviews per second, burst, and concurrent reviews. Each token is
	// reviewed once a minute, so a lane serves 6,000 sidecars, and a cold start of 100 pods does
	// not wait. An API server serves several hundred concurrent requests
	// (--max-requests-inflight).
	reviewRate  = 100
	reviewBurst = 100
	maxReviews  = 16
	// suspectFor is how long a source is suspect after the API server refused one of its tokens.
	suspectFor = time.Minute
	// maxUnproven is how many concurrent reviews of possibly forged tokens a source may have in
	// the open lane.
	maxUnproven = 8
	maxSources  = 4096
)

// admission limits reviews in two lanes, so that forged tokens do not delay clients from other
// sources. Tokens with a verified signature and the first few of each source use the open lane. A
// source that has recently sent a forged token, or sends many at once, uses the suspects' lane.
//
// A source is the network address of the connection: the pod's, unless a proxy replaces it.
type admission struct {
	open, suspects *lane

	mu      sync.Mutex
	sources map[string]*sourceState
}

type sourceState struct {
	unproven int       // reviews in the open lane
	refused  time.Time // when a token was last refused
}

func newAdmission() *admission {
	return &admission{open: newLane(), suspects: newLane(), sources: make(map[string]*sourceState)}
}

// enter waits for a slot in a lane and fails if ctx ends first. The caller must call leave and
// report whether the API server refused the token.
func (a *admission) enter(ctx context.Context, source string, trusted bool) (leave func(refused bool), err error) {
	lane, done := a.open, func(bool) {}
	if !trusted {
		lane, done = a.choose(source)
	}
	if err := lane.enter(ctx); err != nil {
		done(false)
		return nil, err
	}
	return func(refused bool) { lane.leave(); done(refused) }, nil
}

func (a *admission) choose(source string) (_ *lane, done func(refused bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sources[source]
	if s == nil {
		if len(a.sources) >= maxSources {
			clear(a.sources) // rare; each source may then send a few more forged tokens
		}
		s = &sourceState{}
		a.sources[source] = s
	}
	chosen := a.open
	if s.unproven >= maxUnproven || time.Since(s.refused) < suspectFor {
		chosen = a.suspects
	} else {
		s.unproven++
	}
	return chosen, func(refused bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if chosen == a.open {
			s.unproven--
		}
		switch {
		case refused:
			s.refused = time.Now()
		case s.unproven == 0 && time.Since(s.refused) >= suspectFor && a.sources[source] == s:
			delete(a.sources, source)
		}
	}
}

// A lane limits the rate and the concurrency of reviews.
type lane struct {
	rate  *rate.Limiter
	slots chan struct{}
}

func newLane() *lane {
	return &lane{rate.NewLimiter(reviewRate, reviewBurst), make(chan struct{}, maxReviews)}
}

// enter fails at once if the rate allows no review before ctx ends.
func (l *lane) enter(ctx context.Context) error {
	if err := l.rate.Wait(ctx); err != nil {
		return err
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lane) leave() { <-l.slots }
