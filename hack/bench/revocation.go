package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// sidecars is the number of sidecars that follow the feed.
const sidecars = 3

// measureRevocation ends sessions at one sidecar and polls the others until they reject them. It
// measures the time from the response to the logout until the last sidecar rejects the session.
func measureRevocation(ctx context.Context, l *lab, auth, upstream string, sessions []*session, found *figures) error {
	l.say("signing out %d sessions at one of %d sidecars", len(sessions), sidecars)
	var conns []*conn
	defer func() {
		for _, c := range conns {
			c.close()
		}
	}()
	for i := range sidecars {
		s, err := l.startSidecar(ctx, fmt.Sprintf("sidecar-%d", i+1), auth, upstream, false)
		if err != nil {
			return err
		}
		c, err := dial(ctx, s.address)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	took := make([]time.Duration, 0, len(sessions))
	for _, s := range sessions {
		t, err := signOut(ctx, conns, s)
		if err != nil {
			return err
		}
		took = append(took, t)
	}
	slices.Sort(took)
	found.add("revocation p50 ms", 1, millis(percentile(took, 50)))
	found.add("revocation p99 ms", 1, millis(percentile(took, 99)))
	found.add("revocation max ms", 1, millis(took[len(took)-1]))
	return nil
}

func signOut(ctx context.Context, conns []*conn, s *session) (time.Duration, error) {
	for _, c := range conns { // each sidecar now has the session in its cache
		if err := visit(ctx, c, s); err != nil {
			return 0, err
		}
	}
	out := request(http.MethodPost, "/auth/logout", []byte("{}"), append(pageHeader(s), "Content-Type: application/json")...)
	said, err := conns[0].do(ctx, out)
	answered := time.Now()
	if err == nil {
		err = said.want(http.StatusNoContent, "the logout")
	}
	if err != nil {
		return 0, err
	}
	heard, faults := make([]time.Duration, len(conns)), make([]error, len(conns))
	var all sync.WaitGroup
	for i, c := range conns[1:] {
		all.Go(func() { heard[i], faults[i] = untilRefused(ctx, c, s, answered) })
	}
	all.Wait()
	return slices.Max(heard), errors.Join(faults...)
}

// visit sends a request with the session to a sidecar and stores a new cookie.
func visit(ctx context.Context, c *conn, s *session) error {
	for range 5 {
		said, err := c.do(ctx, request(http.MethodGet, "/", nil, pageHeader(s)...))
		if err == nil {
			err = said.want(http.StatusOK, "a page")
		}
		if err != nil {
			return err
		}
		if !take(said, s) {
			return nil
		}
	}
	return errSettling
}

// errStillServed means that a session is accepted long after its logout.
var errStillServed = errors.New("bench: a session is still served 10 s after its logout")

func untilRefused(ctx context.Context, c *conn, s *session, since time.Time) (time.Duration, error) {
	req := request(http.MethodGet, "/", nil, pageHeader(s)...)
	for time.Since(since) < 10*time.Second {
		said, err := c.do(ctx, req)
		if err != nil {
			return 0, err
		}
		if said.status == http.StatusUnauthorized {
			return time.Since(since), nil
		}
		if err := said.want(http.StatusOK, "a page"); err != nil {
			return 0, err
		}
	}
	return 0, errStillServed
}
