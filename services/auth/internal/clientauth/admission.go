package clientauth

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// Each lane asks the API server for up to so many reviews a second, so many
	// at once after a quiet time, and has so many under way. A token is asked
	// about once a minute, so that a lane serves 6,000 sidecars, and a cold start
	// of 100 pods waits for nothing. An API server serves several hundred
	// requests at a time (--max-requests-inflight).
	reviewRate  = 100
	reviewBurst = 100
	maxReviews  = 16
	// suspectFor is how long a source is a suspect after a token that the API
	// server refused.
	suspectFor = time.Minute
	// maxUnproven is how many reviews of tokens that may be forged a source has
	// in the open lane at a time: what it sends before the first answer.
	maxUnproven = 8
	maxSources  = 4096
)

// admission lets reviews through in two lanes, so that forgeries never delay
// clients that come from elsewhere. Tokens that are no forgeries, and the first
// few of every source, take the open lane. All other tokens of a source that has
// just sent a forgery, or that sends many at once, share the suspects' lane.
//
// A source is the network address of the connection: that of the pod, unless
// something between it and us puts its own in its place.
type admission struct {
	open, suspects *lane

	mu      sync.Mutex
	sources map[string]*sourceState
}

type sourceState struct {
	unproven int       // in the open lane now
	refused  time.Time // when a token of it was refused last
}

func newAdmission() *admission {
	return &admission{open: newLane(), suspects: newLane(), sources: make(map[string]*sourceState)}
}

// enter waits for a place. leave must be called, with whether the API server
// refused the token. It fails when ctx ends before there is a place.
func (a *admission) enter(ctx context.Context, source string, trusted bool) (leave func(refused bool), err error) {
	way, done := a.open, func(bool) {}
	if !trusted {
		way, done = a.choose(source)
	}
	if err := way.enter(ctx); err != nil {
		done(false)
		return nil, err
	}
	return func(refused bool) { way.leave(); done(refused) }, nil
}

func (a *admission) choose(source string) (_ *lane, done func(refused bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sources[source]
	if s == nil {
		if len(a.sources) >= maxSources {
			clear(a.sources) // rare, and each may send a few forgeries anew
		}
		s = &sourceState{}
		a.sources[source] = s
	}
	way := a.open
	if s.unproven >= maxUnproven || time.Since(s.refused) < suspectFor {
		way = a.suspects
	} else {
		s.unproven++
	}
	return way, func(refused bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if way == a.open {
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

// A lane bounds reviews by rate and number.
type lane struct {
	rate  *rate.Limiter
	slots chan struct{}
}

func newLane() *lane {
	return &lane{rate.NewLimiter(reviewRate, reviewBurst), make(chan struct{}, maxReviews)}
}

// enter fails at once if the rate has no place before ctx ends.
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
