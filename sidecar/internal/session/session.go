// Package session caches sessions: it exchanges the refresh token in a cookie for an
// access token, from memory if possible, otherwise with one call of the auth service
// at a time per session.
//
// It never ends a session by itself: only a definite answer of the auth service or
// its feed does, and an outage is none.
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
	"unique"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/authclient"
)

// ErrUnavailable reports that a session could not be looked up, so that the cookie must
// be kept: the auth service is down, or too many unknown cookies wait for it.
var ErrUnavailable = errors.New("session: auth service unavailable")

// ErrRefused reports that the upstream refused a renewed access token before.
var ErrRefused = errors.New("session: the access token was refused before")

// ErrUnknown reports that a lookup needs a call to the auth service.
var ErrUnknown = errors.New("session: not in memory")

const (
	// overlap is how long an old token is accepted from memory after the rotation, if
	// its successor was presented. It equals the auth service's overlap.
	overlap = 10 * time.Second
	// patience is how long a request waits for a refresh ahead of expiry, before it
	// goes on with the old token, which is still valid.
	patience = 250 * time.Millisecond
	// refused is how long a refusal is cached, so that a client that retries does not
	// cause a call each time.
	refused     = 5 * time.Second
	refusedSize = 4096
	// Unknown cookies may be forged, but cost a call each. These bound the concurrent
	// calls for them, in total and per client address. An address may be an ingress
	// with many browsers behind it.
	maxUnknown        = 2048
	maxUnknownFromOne = 512
	// tooSilent is the silence of the feed after which ends of sessions may have been
	// missed. From then on, the auth service is asked before a session is used, once
	// per recheckEvery and session.
	tooSilent    = 5 * time.Second
	recheckEvery = time.Second
	// Deliveries are reported in batches.
	confirmEvery = 500 * time.Millisecond
	confirmBatch = 100
	maxConfirms  = 10_000
)

// Auth refreshes tokens; see authclient.Client for the methods and their errors.
type Auth interface {
	Refresh(ctx context.Context, refreshToken string, by authclient.Browser) (authclient.Tokens, error)
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
	Provider      string // identity provider that the user signed in with; "" for a password
	ACR           string // authentication context class that it named, or ""
	End           time.Time
	// Cookie is the refresh token that the browser should have. It differs from the
	// presented one after a rotation; every response then carries it in Set-Cookie.
	Cookie string
}

// Cache holds the most recently used sessions.
type Cache struct {
	auth Auth
	feed Feed
	now  func() time.Time
	born time.Time

	mu       sync.Mutex
	families *simplelru.LRU[string, *family]
	refused  *simplelru.LRU[string, refusal]
	// flights are the refreshes in progress, at most one per family. They are not in
	// families, so that a forged cookie does not evict a session from there.
	flights map[string]*flight
	// unknown counts the flights for cookies that are not in memory, unknownFrom counts
	// them by client address.
	unknown     int
	unknownFrom map[string]int
	// confirms are refresh tokens that a browser has presented for the first time, to
	// be reported.
	confirms []string
	// roles are those of the last answer. Sessions with the same roles share one list.
	roles []string
}

// family is one session. Everything in it is guarded by Cache.mu. There are many, so times
// are numbers, a third of the size of a time.Time: see Cache.age.
type family struct {
	// Of the newest known generation:
	refreshToken, authorization, sessionID string
	roles                                  []string
	login                                  unique.Handle[login]
	authTime, end                          int64         // in Unix milliseconds
	expires                                time.Duration // an age of the cache, like the following
	// refreshAt is when to refresh ahead of expiry.
	refreshAt time.Duration
	// previous is the predecessor of refreshToken, rotated at rotatedAt.
	previous  string
	rotatedAt time.Duration
	// checked is when the auth service answered last.
	checked time.Duration
	// delivered: a browser has presented refreshToken.
	delivered bool
	// refused: an upstream has refused authorization.
	refused bool
	// derived is what was asked with authorization; nil for most sessions.
	derived map[string]*derived
}

// login is how a user signed in. Sessions with the same share it.
type login struct{ provider, acr string }

// refusal is a cached refusal.
type refusal struct {
	end   *authclient.EndedError
	until time.Time
}

// flight is one call of the auth service, which several requests may wait for.
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
		auth: auth, feed: feed, now: now, born: now(), families: families, refused: no,
		flights: make(map[string]*flight), unknownFrom: make(map[string]int),
	}, nil
}

// age returns how old the cache is at a time. A clock that is set does not change it.
func (c *Cache) age(at time.Time) time.Duration { return at.Sub(c.born) }

// Fresh is Get without a call to the auth service and without waiting. It fails
// with an authclient.EndedError, or with ErrUnknown where Get would make a call.
func (c *Cache) Fresh(cookie string) (View, error) {
	id := api.SessionIDOf(cookie)
	if reason, revoked := c.feed.Revoked(id); revoked {
		return View{}, authclient.Ended(reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.recall(id, cookie)
	if err != nil {
		return View{}, err
	}
	if !m.good || m.doubtful || m.due {
		return View{}, ErrUnknown
	}
	return m.view, nil
}

// memory is what the cache holds of one cookie.
type memory struct {
	family *family
	flight *flight
	view   View
	// good: view has an access token that has not expired.
	good bool
	// doubtful: it is good, but the feed may have missed the session's end.
	doubtful bool
	// due: no refresh is under way, and it is time for one.
	due bool
}

// recall returns what the cache holds of cookie, which is of family id, or the
// EndedError that it remembers. c.mu is held.
func (c *Cache) recall(id, cookie string) (memory, error) {
	now := c.now()
	if no, ok := c.refused.Get(cookie); ok && now.Before(no.until) {
		return memory{}, no.end
	}
	m := memory{flight: c.flights[id]}
	m.family, _ = c.families.Get(id)
	if m.view, m.good = c.look(m.family, cookie, c.age(now)); m.good {
		m.doubtful = c.doubtful(m.family, c.age(now))
		m.due = m.flight == nil && c.age(now) >= m.family.refreshAt
	}
	return m, nil
}

// Knows reports whether cookie is a token of a session in memory, even if its access
// token has expired.
func (c *Cache) Knows(cookie string) bool {
	id := api.SessionIDOf(cookie)
	if _, revoked := c.feed.Revoked(id); revoked {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, _ := c.families.Peek(id)
	return f.shows(cookie)
}

// doubtful reports whether the feed may have missed f's end.
func (c *Cache) doubtful(f *family, now time.Duration) bool {
	return c.feed.Silence() > tooSilent && now-f.checked > recheckEvery
}

// Get returns the session of cookie, a refresh token. It makes no call while a valid
// access token is in memory. It fails with an authclient.EndedError, ErrUnavailable or
// the context's error.
func (c *Cache) Get(ctx context.Context, cookie string, by authclient.Browser) (View, error) {
	return c.get(ctx, cookie, by, "")
}

// Renew is Get for a caller whose upstream refused authorization: it gets another
// access token. It fails with ErrRefused, without a call, if the upstream refused a
// renewed token before.
func (c *Cache) Renew(ctx context.Context, cookie string, by authclient.Browser, authorization string) (View, error) {
	return c.get(ctx, cookie, by, authorization)
}

func (c *Cache) get(ctx context.Context, cookie string, by authclient.Browser, unwanted string) (View, error) {
	id := api.SessionIDOf(cookie)
	for {
		if reason, ok := c.feed.Revoked(id); ok {
			return View{}, authclient.Ended(reason)
		}
		c.mu.Lock()
		m, err := c.recall(id, cookie)
		if err != nil {
			c.mu.Unlock()
			return View{}, err
		}
		if m.good && m.view.Authorization == unwanted {
			if m.flight == nil && m.family.refused {
				c.mu.Unlock()
				return View{}, ErrRefused
			}
			m.family.refused, m.good, m.doubtful = true, false, false
		}
		if m.good && !m.doubtful && !m.due {
			c.mu.Unlock()
			return m.view, nil
		}
		fl := m.flight
		if fl == nil {
			if fl, err = c.launch(ctx, cookie, by, m.family.shows(cookie)); err != nil {
				c.mu.Unlock()
				return View{}, err
			}
		}
		c.mu.Unlock()

		if m.good && !m.doubtful {
			return fl.waitBriefly(ctx, m.view), nil
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return View{}, context.Cause(ctx)
		}
		if m.doubtful && errors.Is(fl.err, ErrUnavailable) {
			return m.view, nil // valid until it expires
		}
		if fl.cookie == cookie {
			return fl.view, fl.err
		}
		// The flight was for another token of the family: try again.
	}
}

// Refused records that an upstream refused the token from Renew, too: its reason is
// not an expired or unverifiable token.
func (c *Cache) Refused(cookie, authorization string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.families.Peek(api.SessionIDOf(cookie)); ok && f.authorization == authorization {
		f.refused = true
	}
}

// look returns f's view for cookie, and whether f has one. f may be nil.
func (c *Cache) look(f *family, cookie string, now time.Duration) (View, bool) {
	if f == nil || now >= f.expires {
		return View{}, false
	}
	switch cookie {
	case f.refreshToken:
		if !f.delivered && len(c.confirms) < maxConfirms {
			c.confirms = append(c.confirms, f.refreshToken)
		}
		f.delivered = true
	case f.previous:
		// Memory accepts an old token only until its successor is delivered, and during
		// the overlap. After that the auth service decides, so that reuse of a stale
		// token is detected.
		if f.delivered && now-f.rotatedAt > overlap {
			return View{}, false
		}
	default:
		return View{}, false
	}
	return f.view(), true
}

// shows reports whether cookie is the newest token of f, or its predecessor. f may be
// nil.
func (f *family) shows(cookie string) bool {
	return f != nil && (cookie == f.refreshToken || cookie == f.previous)
}

func (f *family) view() View {
	at := f.login.Value()
	return View{
		Provider: at.provider, ACR: at.acr,
		Authorization: f.authorization, SessionID: f.sessionID, Roles: f.roles,
		AuthTime: time.UnixMilli(f.authTime), End: time.UnixMilli(f.end), Cookie: f.refreshToken,
	}
}

// launch starts a refresh. It continues if the client disconnects, because the result
// of a rotation must not be lost. known says that cookie belongs to a session in
// memory. launch fails with ErrUnavailable if there are too many flights for unknown
// cookies.
func (c *Cache) launch(ctx context.Context, cookie string, by authclient.Browser, known bool) (*flight, error) {
	if !known && (c.unknown >= maxUnknown || c.unknownFrom[by.Address] >= maxUnknownFromOne) {
		return nil, fmt.Errorf("%w: too many unknown cookies at once", ErrUnavailable)
	}
	// A copy, because the string would keep the request's whole header in memory.
	cookie = strings.Clone(cookie)
	id := api.SessionIDOf(cookie)
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
		if reason, revoked := c.feed.Revoked(tokens.SessionID); err == nil && revoked { // during the call
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

// waitBriefly waits for a refresh ahead of expiry, so that this response carries the
// new cookie. It returns old if that takes longer than patience.
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

// take stores the tokens that the auth service returned for cookie.
func (c *Cache) take(id, cookie string, t authclient.Tokens) View {
	// Share one string where several are equal.
	if own := api.SessionIDOf(t.RefreshToken); own == id {
		id = own
	}
	if t.SessionID == id {
		t.SessionID = id
	}
	if slices.Equal(t.Roles, c.roles) {
		t.Roles = c.roles
	}
	c.roles = t.Roles
	f, ok := c.families.Get(id)
	if !ok {
		f = &family{}
	}
	// Anew, so that the key is a part of the new token and the old one can be freed.
	c.families.Remove(id)
	c.families.Add(id, f)
	f.take(cookie, t, c.age(t.Expires), c.age(c.now()))
	return f.view()
}

func (f *family) take(cookie string, t authclient.Tokens, expires, now time.Duration) {
	switch {
	case t.RefreshToken == cookie: // not rotated, so the browser has it
		f.delivered = true
		if f.refreshToken != cookie {
			f.previous = ""
		}
	case t.RefreshToken != f.refreshToken: // a new generation
		f.previous, f.rotatedAt, f.delivered = cookie, now, false
	}
	if t.Authorization != f.authorization {
		f.derived = nil
	}
	f.refreshToken, f.authorization, f.sessionID, f.roles = t.RefreshToken, t.Authorization, t.SessionID, t.Roles
	f.login = unique.Make(login{t.Provider, t.ACR})
	f.authTime, f.end = t.AuthTime.UnixMilli(), t.End.UnixMilli()
	f.expires, f.checked, f.refused = expires, now, false
	// Jitter spreads the refreshes of sessions that began together.
	f.refreshAt = expires - time.Duration(float64(t.Life)*(0.15+0.1*rand.Float64())) //nolint:gosec // not a secret
}

// end caches the refusal of cookie, and removes its family if cookie is one of the
// family's tokens: a forged cookie must not evict the real session.
func (c *Cache) end(id, cookie string, end *authclient.EndedError) {
	c.refused.Add(cookie, refusal{end, c.now().Add(refused)})
	if f, _ := c.families.Get(id); f.shows(cookie) {
		c.families.Remove(id)
	}
}

// Begin stores the tokens of a new session.
func (c *Cache) Begin(t authclient.Tokens) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(api.SessionIDOf(t.RefreshToken), t.RefreshToken, t)
}

// Forget removes the session of cookie, whose user has signed out.
func (c *Cache) Forget(cookie string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cookie = strings.Clone(cookie) // as in launch
	c.end(api.SessionIDOf(cookie), cookie, &authclient.EndedError{Reason: api.EndLogout})
}

// Run reports presented tokens until ctx ends, so that the auth service detects reuse
// of a predecessor at once, not only after the next refresh. Failed reports are
// dropped: the next refresh implies them.
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

// Len returns the number of sessions in memory.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.families.Len()
}
