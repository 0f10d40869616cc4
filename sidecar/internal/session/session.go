// Package session is the sidecar's half of sessions: it turns a cookie's value
// into an access token, from memory when it can, through the auth service when
// it must, and never more than once at a time for one session.
//
// It decides nothing about a session: only a definite answer of the auth
// service ends one, and an outage is never that. It knows no HTTP.
package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/authclient"
)

// ErrUnavailable says that nobody knows now: keep the cookie. The auth service
// is away, or too many cookies that are not in memory wait for it.
var ErrUnavailable = errors.New("session: auth service unavailable")

// ErrRefused says that another access token was no help, or was not to be had.
var ErrRefused = errors.New("session: the access token was refused before")

// ErrUnknown says that the auth service has to be asked.
var ErrUnknown = errors.New("session: not in memory")

const (
	// overlap is how long an old cookie is answered from memory after its
	// successor was seen; the auth service's own overlap is the same.
	overlap = 10 * time.Second
	// patience is how long a request waits for a refresh ahead of expiry. Its
	// token is still good: after that it goes on with it.
	patience = 250 * time.Millisecond
	// refused is how long a definite no is remembered, so that a client that
	// insists costs no call each time. Short, for the no of one moment.
	refused     = 5 * time.Second
	refusedSize = 4096
	// A cookie that is not in memory may be forged and costs a call all the
	// same. So many of them wait for one at a time, in all and from one client
	// address, which may be an ingress with many browsers behind it (R11).
	maxUnknown        = 2048
	maxUnknownFromOne = 512
	// tooSilent is when the feed may be hiding the end of a session. From then
	// on a session is asked for again before use, once in recheckEvery.
	tooSilent    = 5 * time.Second
	recheckEvery = time.Second
	// Deliveries are reported in batches.
	confirmEvery = 500 * time.Millisecond
	confirmBatch = 100
	maxConfirms  = 10_000
)

// Auth refreshes tokens; see authclient.Client, whose errors it has: an
// EndedError says that the cookie is good for nothing any more.
type Auth interface {
	Refresh(ctx context.Context, refreshToken string, by authclient.Presenter) (authclient.Tokens, error)
	Confirm(ctx context.Context, refreshTokens []string) error
}

// Feed knows which sessions have ended; see revocation.Follower.
type Feed interface {
	Revoked(sessionID string) (reason string, ok bool)
	Silence() time.Duration
}

// A View is a session as one request sees it.
type View struct {
	Authorization string
	SessionID     string
	Roles         []string
	AuthTime      time.Time
	End           time.Time
	// Cookie is the value that the browser should have; it differs from what it
	// sent when that was rotated, and then goes out with every answer.
	Cookie string
}

// Cache holds the sessions that this process has seen lately.
type Cache struct {
	auth Auth
	feed Feed
	now  func() time.Time

	mu       sync.Mutex
	families *simplelru.LRU[string, *family]
	refused  *simplelru.LRU[string, refusal]
	// flights are the refreshes that are going on, by family: at most one each.
	// They are apart from families so that a forged cookie takes no place there.
	flights map[string]*flight
	// unknown are the flights for cookies that are not in memory, and unknownFrom
	// how many of them each client address has caused.
	unknown     int
	unknownFrom map[string]int
	// confirms are the refresh tokens that browsers have shown for the first time.
	confirms []string
}

// family is one session. Everything in it is guarded by Cache.mu.
type family struct {
	tokens authclient.Tokens // of the newest generation we know
	// refreshAt is when a request is to refresh ahead of expiry.
	refreshAt time.Time
	// previous is the cookie value that tokens.RefreshToken succeeded, at.
	previous  string
	rotatedAt time.Time
	// delivered: a browser has shown tokens.RefreshToken.
	delivered bool
	// refused: an upstream has refused tokens.Authorization.
	refused bool
	// checked is when the auth service spoke of it last.
	checked time.Time
}

// refusal is a definite no, and how long it is remembered.
type refusal struct {
	end   *authclient.EndedError
	until time.Time
}

// flight is one call of the auth service, and everybody who waits for it.
type flight struct {
	cookie string
	done   chan struct{}
	view   View
	err    error
}

// NewCache returns a Cache of at most size sessions.
func NewCache(auth Auth, feed Feed, size int, now func() time.Time) (*Cache, error) {
	families, err1 := simplelru.NewLRU[string, *family](size, nil)
	no, err2 := simplelru.NewLRU[string, refusal](refusedSize, nil)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &Cache{
		auth: auth, feed: feed, now: now, families: families, refused: no,
		flights: make(map[string]*flight), unknownFrom: make(map[string]int),
	}, nil
}

// Fresh is Get where memory has the answer: nobody is asked, nobody waits. It
// fails with an authclient.EndedError, or with ErrUnknown where Get would have to ask.
func (c *Cache) Fresh(cookie string) (View, error) {
	id := FamilyOf(cookie)
	if reason, revoked := c.feed.Revoked(id); revoked {
		return View{}, authclient.Ended(reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if no, ok := c.refused.Get(cookie); ok && now.Before(no.until) {
		return View{}, no.end
	}
	f, _ := c.families.Get(id)
	view, good := c.look(f, cookie, now)
	if !good || c.doubtful(f, now) || !now.Before(f.refreshAt) && c.flights[id] == nil {
		return View{}, ErrUnknown
	}
	return view, nil
}

// Knows reports whether cookie is that of a session in memory, even if the auth
// service has to be asked before it is good for anything.
func (c *Cache) Knows(cookie string) bool {
	id := FamilyOf(cookie)
	if _, revoked := c.feed.Revoked(id); revoked {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, _ := c.families.Peek(id)
	return f.shows(cookie)
}

// doubtful reports whether the feed may be hiding f's end.
func (c *Cache) doubtful(f *family, now time.Time) bool {
	return c.feed.Silence() > tooSilent && now.Sub(f.checked) > recheckEvery
}

// Get returns the session that cookie, a plausible refresh token, stands for.
// It costs no call while a good access token is in memory. It fails with
// an authclient.EndedError, ErrUnavailable or the context's error.
func (c *Cache) Get(ctx context.Context, cookie string, by authclient.Presenter) (View, error) {
	return c.get(ctx, cookie, by, "")
}

// Renew is Get for a caller whose upstream refused the given authorization: it
// returns another one. For one of which it was told before it asks nobody, and
// fails with ErrRefused.
func (c *Cache) Renew(ctx context.Context, cookie string, by authclient.Presenter, authorization string) (View, error) {
	return c.get(ctx, cookie, by, authorization)
}

func (c *Cache) get(ctx context.Context, cookie string, by authclient.Presenter, unwanted string) (View, error) {
	id := FamilyOf(cookie)
	for {
		if reason, ok := c.feed.Revoked(id); ok {
			return View{}, authclient.Ended(reason)
		}
		c.mu.Lock()
		now := c.now()
		if no, ok := c.refused.Get(cookie); ok && now.Before(no.until) {
			c.mu.Unlock()
			return View{}, no.end
		}
		f, _ := c.families.Get(id)
		fl := c.flights[id]
		view, good := c.look(f, cookie, now)
		if good && view.Authorization == unwanted {
			if fl == nil && f.refused {
				c.mu.Unlock()
				return View{}, ErrRefused
			}
			f.refused, good = true, false
		}
		doubtful := good && c.doubtful(f, now)
		if good && !doubtful && (fl != nil || now.Before(f.refreshAt)) {
			c.mu.Unlock()
			return view, nil
		}
		if fl == nil {
			var err error
			if fl, err = c.launch(ctx, cookie, by, f.shows(cookie)); err != nil {
				c.mu.Unlock()
				return View{}, err
			}
		}
		c.mu.Unlock()

		if good && !doubtful {
			return fl.waitBriefly(ctx, view), nil
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return View{}, context.Cause(ctx)
		}
		if doubtful && errors.Is(fl.err, ErrUnavailable) {
			return view, nil // nobody can say: it serves until its end
		}
		if fl.cookie == cookie {
			return fl.view, fl.err
		}
		// That was for another cookie of the family: look again.
	}
}

// Refused notes that an upstream refused what Renew returned for cookie, too:
// it refuses more than a token that has expired or that it cannot verify.
func (c *Cache) Refused(cookie, authorization string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.families.Peek(FamilyOf(cookie)); ok && f.tokens.Authorization == authorization {
		f.refused = true
	}
}

// FamilyOf returns the part of a token that names its family. It is not
// verified: what is in the cache is found by the whole value only.
func FamilyOf(cookie string) string {
	_, rest, _ := strings.Cut(cookie, ".")
	_, rest, _ = strings.Cut(rest, ".")
	if family, _, ok := strings.Cut(rest, "."); ok {
		return family
	}
	return cookie
}

// look returns what memory knows of cookie, and whether that is an answer. A
// nil family knows nothing.
func (c *Cache) look(f *family, cookie string, now time.Time) (View, bool) {
	if f == nil || !now.Before(f.tokens.Expires) {
		return View{}, false
	}
	switch cookie {
	case f.tokens.RefreshToken:
		if !f.delivered && len(c.confirms) < maxConfirms {
			c.confirms = append(c.confirms, f.tokens.RefreshToken)
		}
		f.delivered = true
	case f.previous:
		// An old cookie is answered from here only while its successor is
		// undelivered or just out. Later the auth service decides, so that a
		// stale cookie cannot hide in a cache.
		if f.delivered && now.Sub(f.rotatedAt) > overlap {
			return View{}, false
		}
	default:
		return View{}, false
	}
	return f.view(), true
}

// shows reports whether cookie is the newest of the session, or the one before.
// A nil family has none.
func (f *family) shows(cookie string) bool {
	return f != nil && (cookie == f.tokens.RefreshToken || cookie == f.previous)
}

func (f *family) view() View {
	t := &f.tokens
	return View{Authorization: t.Authorization, SessionID: t.SessionID, Roles: t.Roles, AuthTime: t.AuthTime, End: t.End, Cookie: t.RefreshToken}
}

// launch begins a refresh, which goes on even if who asked for it leaves: a
// rotation whose result is thrown away is a lost response by our own hand.
// known says that cookie is one of a session in memory. It fails with
// ErrUnavailable when too many that are not are asked for.
func (c *Cache) launch(ctx context.Context, cookie string, by authclient.Presenter, known bool) (*flight, error) {
	if !known && (c.unknown >= maxUnknown || c.unknownFrom[by.Address] >= maxUnknownFromOne) {
		return nil, fmt.Errorf("%w: too many unknown cookies at once", ErrUnavailable)
	}
	// A copy: what is kept of the cookie must not keep the request's whole head.
	cookie = strings.Clone(cookie)
	id := FamilyOf(cookie)
	fl := &flight{cookie: cookie, done: make(chan struct{})}
	c.flights[id] = fl
	if !known {
		c.count(by.Address, 1)
	}
	go func() {
		tokens, err := c.auth.Refresh(context.WithoutCancel(ctx), cookie, by)
		c.mu.Lock()
		defer c.mu.Unlock()
		defer close(fl.done)
		delete(c.flights, id)
		if !known {
			c.count(by.Address, -1)
		}
		if reason, revoked := c.feed.Revoked(tokens.SessionID); err == nil && revoked { // meanwhile
			err = authclient.Ended(reason)
		}
		end, ended := errors.AsType[*authclient.EndedError](err)
		switch {
		case err == nil:
			fl.view = c.take(id, cookie, tokens)
		case ended:
			c.end(id, cookie, end)
			fl.err = end
		default:
			fl.err = errors.Join(ErrUnavailable, err)
		}
	}()
	return fl, nil
}

// count adds n to the flights for unknown cookies from an address.
func (c *Cache) count(address string, n int) {
	c.unknown += n
	c.unknownFrom[address] += n
	if c.unknownFrom[address] == 0 {
		delete(c.unknownFrom, address)
	}
}

// waitBriefly waits for a refresh ahead of expiry, so that the successor goes
// out with this very answer; the old token serves when that takes too long.
func (fl *flight) waitBriefly(ctx context.Context, old View) View {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-fl.done:
		if fl.err == nil {
			return fl.view
		}
	case <-t.C:
	case <-ctx.Done():
	}
	return old
}

// take keeps what the auth service gave for cookie.
func (c *Cache) take(id, cookie string, t authclient.Tokens) View {
	// One string where several are equal: a cookie's would live on as the key.
	if own := FamilyOf(t.RefreshToken); own == id {
		id = own
	}
	if t.SessionID == id {
		t.SessionID = id
	}
	f, ok := c.families.Get(id)
	if !ok {
		f = &family{}
		c.families.Add(id, f)
	}
	f.take(cookie, t, c.now())
	return f.view()
}

func (f *family) take(cookie string, t authclient.Tokens, now time.Time) {
	switch {
	case t.RefreshToken == cookie: // not rotated: the browser has it
		f.delivered = true
		if f.tokens.RefreshToken != cookie {
			f.previous = ""
		}
	case t.RefreshToken != f.tokens.RefreshToken: // a new generation
		f.previous, f.rotatedAt, f.delivered = cookie, now, false
	}
	f.tokens, f.checked, f.refused = t, now, false
	// A jitter of a tenth spreads the refreshes of sessions that began together.
	f.refreshAt = t.Expires.Add(-time.Duration(float64(t.Life) * (0.15 + 0.1*rand.Float64()))) //nolint:gosec // not a secret
}

// end remembers that cookie is over and forgets its family, unless cookie is
// none of the family's: a forgery must not touch the real one.
func (c *Cache) end(id, cookie string, end *authclient.EndedError) {
	c.refused.Add(cookie, refusal{end, c.now().Add(refused)})
	if f, _ := c.families.Get(id); f.shows(cookie) {
		c.families.Remove(id)
	}
}

// Begin keeps the tokens of a session that has just begun.
func (c *Cache) Begin(t authclient.Tokens) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(FamilyOf(t.RefreshToken), t.RefreshToken, t)
}

// Forget drops the session that cookie stands for, whose user has signed out.
func (c *Cache) Forget(cookie string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cookie = strings.Clone(cookie) // as in launch
	c.end(FamilyOf(cookie), cookie, &authclient.EndedError{Reason: api.EndLogout})
}

// Run reports deliveries until ctx ends, so that a stale predecessor is caught
// at once and not at the next refresh. What cannot be reported is not kept: the
// next refresh says as much.
func (c *Cache) Run(ctx context.Context) {
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		waiting := c.confirms
		c.confirms = nil
		c.mu.Unlock()
		for batch := range slices.Chunk(waiting, confirmBatch) {
			if err := c.auth.Confirm(ctx, batch); err != nil {
				break
			}
		}
	}
}

// Len returns how many sessions are in memory.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.families.Len()
}
