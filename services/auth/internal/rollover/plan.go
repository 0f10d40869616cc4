package rollover

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// An Event is what happens to a key.
type Event uint8

// The events. Revoked is for a key that leaves before its time, by hand.
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

// A Change is what a plan does to the key ID.
type Change struct {
	Event Event
	ID    string
}

// A Schedule says when keys change.
type Schedule struct {
	// Every is how long a key signs.
	Every time.Duration
	// Wait is how long a key is published before it signs: as long as anybody
	// may hold a JWKS without it, and replicas take to read it.
	Wait time.Duration
	// Keep is how long a superseded key stays published: the life of a token,
	// and as long as replicas take to read that it signs no more.
	Keep time.Duration
}

// A plan is a list of keys in the making.
type plan struct {
	now     time.Time
	fresh   func() (Key, error)
	keys    []Key
	changes []Change
}

func newPlan(keys []Key, now time.Time, fresh func() (Key, error)) *plan {
	// To the second, as headers have it.
	return &plan{now: now.Truncate(time.Second), keys: slices.Clone(keys), fresh: fresh}
}

// Plan returns what keys have to be at now, and what that changes. since is
// from when on whoever plans could read the keys without a gap: what happened
// before may have been missed by others, who had the same outage, and counts
// from then. fresh returns a new key.
//
// With no keys, a fresh one signs at once: there is nobody to wait for.
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

// ErrNextPublished says that a key is on its way already.
var ErrNextPublished = errors.New("the next key is published already, and signs when every verifier has it")

// Rotate publishes the next key now instead of when its time comes.
func Rotate(keys []Key, now time.Time, fresh func() (Key, error)) ([]Key, []Change, error) {
	p := newPlan(keys, now, fresh)
	p.note()
	if slices.ContainsFunc(p.keys, Key.isNext) {
		return nil, nil, ErrNextPublished
	}
	err := p.publish()
	return p.keys, p.changes, err
}

// Revoke removes the key called id at once, and with it all tokens that it
// signed. If it was the one that signs, the next one does, or a fresh one
// that verifiers learn of when they meet it.
func Revoke(keys []Key, id string, now time.Time, fresh func() (Key, error)) ([]Key, []Change, error) {
	p := newPlan(keys, now, fresh)
	p.note()
	signing := len(p.keys) > 0 && p.keys[0].ID == id
	p.remove(Revoked, func(k Key) bool { return k.ID == id })
	if len(p.keys) == len(keys) {
		return nil, nil, fmt.Errorf("there is no key %q: see `auth keys show`", id)
	}
	var err error
	if signing {
		err = p.sign()
	}
	return p.keys, p.changes, err
}

// note writes down what somebody else did to the file: a key that was put in
// front signs, and whatever is found behind it without a story only verifies.
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

// publish appends a fresh key.
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

// sign moves the next key to the front, a fresh one if there is none, and
// supersedes the one that signed until now.
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
