package session

import (
	"context"
	"errors"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/authclient"
)

// derived is what was asked of the auth service with a session's access token. It is kept as long
// as that token, or until it expires itself.
type derived struct {
	done    chan struct{}
	value   any
	err     error
	expires time.Time // zero if it does not expire itself
}

// Derive returns what ask returns for the access token of a session, from memory if possible. Of
// requests that need the same thing, named by key, one asks and the others wait. ask also returns
// when its answer expires; the zero time means with the access token.
//
// An error of ask is not kept. Derive also fails with the context's error.
func Derive[T any](ctx context.Context, c *Cache, v View, key string,
	ask func(ctx context.Context, authorization string) (T, time.Time, error),
) (T, error) {
	d := c.derive(v, key, func() (any, time.Time, error) { return ask(context.WithoutCancel(ctx), v.Authorization) })
	select {
	case <-d.done:
		value, _ := d.value.(T)
		return value, d.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Recall returns what Derive would, if that is in memory.
func Recall[T any](c *Cache, v View, key string) (value T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.derived(v, key); d != nil && d.value != nil && d.err == nil {
		value, ok = d.value.(T)
	}
	return value, ok
}

// derived returns what is in memory, or is being asked for, or nil. c.mu is held.
func (c *Cache) derived(v View, key string) *derived {
	f, ok := c.families.Peek(api.SessionIDOf(v.Cookie))
	if !ok || f.authorization != v.Authorization {
		return nil
	}
	d := f.derived[key]
	if d == nil || !d.expires.IsZero() && !c.now().Before(d.expires) {
		return nil
	}
	return d
}

// derive asks in a goroutine of its own: the answer counts for others too if the client leaves. It
// keeps the answer if v's access token is still the newest one.
func (c *Cache) derive(v View, key string, ask func() (any, time.Time, error)) *derived {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.derived(v, key); d != nil {
		return d
	}
	d := &derived{done: make(chan struct{})}
	f, ok := c.families.Peek(api.SessionIDOf(v.Cookie))
	kept := ok && f.authorization == v.Authorization
	if kept {
		if f.derived == nil {
			f.derived = make(map[string]*derived)
		}
		f.derived[key] = d
	}
	go func() {
		value, expires, err := ask()
		c.mu.Lock()
		defer c.mu.Unlock()
		d.value, d.expires, d.err = value, expires, err
		if err != nil && kept && f.derived[key] == d {
			delete(f.derived, key)
		}
		close(d.done)
	}()
	return d
}

// Rejected reports whether the auth service refused an access token, rather than failing.
func Rejected(err error) bool {
	status, ok := errors.AsType[*authclient.StatusError](err)
	return ok && status.Status == 401
}
