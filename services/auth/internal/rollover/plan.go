package rollover

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// An Event is a step in a key's life.
type Event uint8

// The events. A key is Revoked when it is removed manually, ahead of schedule.
const (
	Published Event = iota + 1
	Signing
	Retired
	Revoked
)

// String returns the event's name.
func (e Event) String() string {
	switch e {
	case Published:
		return "published"
	case Signing:
		return "signing"
	case Retired:
		return "retired"
	case Revoked:
		return "revoked"
	}
	return "unknown"
}

// A Change is an Event of the key ID.
type Change struct {
	Event Event
	ID    string
}

// A Schedule determines when keys change.
type Schedule struct {
	// Every is how long a key signs.
	Every time.Duration
	// Wait is how long a key is published before it signs: at least as long as caches may hold a
	// JWKS without it, plus Settle.
	Wait time.Duration
	// Keep is how long a superseded key stays published: at least the life of a token, plus Settle.
	Keep time.Duration
}

// A plan is a list of keys that is being changed.
type plan struct {
	now     time.Time
	fresh   func() (Key, error)
	keys    []Key
	changes []Change
}

func newPlan(keys []Key, now time.Time, fresh func() (Key, error)) *plan {
	// Headers have a resolution of one second.
	return &plan{now: now.Truncate(time.Second), keys: slices.Clone(keys), fresh: fresh}
}

// Plan returns the keys as they have to be at now, and the changes. since is the time from which
// the caller has read the keys without a gap: other replicas may have missed earlier events in the
// same outage, so those count as if they had happened at since. fresh returns a new key.
//
// If there are no keys, a new one signs at once: no verifier holds an older JWKS.
func (s Schedule) Plan(keys []Key, now, since time.Time, fresh func() (Key, error)) ([]Key, []Change, error) {
	p := newPlan(keys, now, fresh)
	p.note()
	known := func(at time.Time, d time.Duration) bool { return !now.Before(later(at, since).Add(d)) }
	p.remove(Retired, func(k Key) bool { return !k.Superseded.IsZero() && known(k.Superseded, s.Keep) })
	next := slices.IndexFunc(p.keys, Key.isNext)
	var err error
	switch {
	case len(p.keys) == 0:
		err = p.sign()
	case next >= 0:
		if known(p.keys[next].Published, s.Wait) {
			err = p.sign()
		}
	case !now.Before(p.keys[0].Signing.Add(s.Every - s.Wait)):
		err = p.publish()
	}
	return p.keys, p.changes, err
}

// ErrNextPublished reports that the next key is already published.
var ErrNextPublished = errors.New("the next key is already published; it signs when every verifier has it")

// Rotate publishes the next key now, ahead of schedule.
func Rotate(keys []Key, now time.Time, fresh func() (Key, error)) ([]Key, []Change, error) {
	p := newPlan(keys, now, fresh)
	p.note()
	if slices.ContainsFunc(p.keys, Key.isNext) {
		return nil, nil, ErrNextPublished
	}
	err := p.publish()
	return p.keys, p.changes, err
}

// Revoke removes the key id at once, which invalidates all tokens that it signed. If it was the
// signing key, the next key signs, or a new one that verifiers fetch when they first see it.
func Revoke(keys []Key, id string, now time.Time, fresh func() (Key, error)) ([]Key, []Change, error) {
	p := newPlan(keys, now, fresh)
	p.note()
	signing := len(p.keys) > 0 && p.keys[0].ID == id
	p.remove(Revoked, func(k Key) bool { return k.ID == id })
	if len(p.keys) == len(keys) {
		return nil, nil, fmt.Errorf("unknown key %q; `auth keys show` lists the keys", id)
	}
	var err error
	if signing {
		err = p.sign()
	}
	return p.keys, p.changes, err
}

// note records manual changes of the file: a key that was moved to the front signs, and a key
// behind it without history only verifies.
func (p *plan) note() {
	for i := range p.keys {
		k := &p.keys[i]
		unknown := k.Published.IsZero()
		if unknown {
			k.Published = p.now
			p.changed(Published, *k)
		}
		switch {
		case i == 0 && (k.Signing.IsZero() || !k.Superseded.IsZero()):
			k.Signing, k.Superseded = p.now, time.Time{}
			p.changed(Signing, *k)
		case i > 0 && k.Superseded.IsZero() && (unknown || !k.Signing.IsZero()):
			k.Superseded = p.now
		}
	}
}

// publish appends a new key.
func (p *plan) publish() error {
	k, err := p.fresh()
	if err != nil {
		return err
	}
	k.Published = p.now
	p.keys = append(p.keys, k)
	p.changed(Published, k)
	return nil
}

// sign moves the next key, or a new one if there is none, to the front, and supersedes the key that
// signed until now.
func (p *plan) sign() error {
	if !slices.ContainsFunc(p.keys, Key.isNext) {
		if err := p.publish(); err != nil {
			return err
		}
	}
	next := slices.IndexFunc(p.keys, Key.isNext)
	k := p.keys[next]
	p.keys = slices.Delete(p.keys, next, next+1)
	if len(p.keys) > 0 && !p.keys[0].isNext() && p.keys[0].Superseded.IsZero() {
		p.keys[0].Superseded = p.now
	}
	k.Signing = p.now
	p.keys = slices.Insert(p.keys, 0, k)
	p.changed(Signing, k)
	return nil
}

func (p *plan) remove(why Event, gone func(Key) bool) {
	p.keys = slices.DeleteFunc(p.keys, func(k Key) bool {
		if !gone(k) {
			return false
		}
		p.changed(why, k)
		return true
	})
}

func (p *plan) changed(event Event, k Key) { p.changes = append(p.changes, Change{event, k.ID}) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
