// Package cookie reads and writes the sidecar's cookies: the session cookie, whose
// value is the refresh token, and the two that outlive a session. No other package
// knows their names or attributes.
package cookie

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/http1"
)

// Name is the name of the session cookie. With the prefix __Host-Http-, browsers accept
// it only if it is Secure, HttpOnly, Path=/ and without Domain. Older browsers apply
// the rules of __Host-.
const Name = "__Host-Http-lilypad"

// Former is the name of the cookie with the refresh token of the browser's former
// session, which has ended. It identifies the user of a form that is posted too late,
// and decrypts that form (package keptform). No session is looked up by it.
const Former = Name + "-former"

// Known is the name of the cookie with refresh tokens of ended sessions of a few
// accounts. They make the browser a known device at the next login to one of these
// accounts, so that strangers who guess its password cannot lock out its owner. No
// session is looked up by them, and no form is kept or decrypted. They name no account.
const Known = Name + "-known"

// Flow is the name of the cookie that binds sign-ins with an identity provider to the
// browser that began them (login CSRF). All such sign-ins of a browser share its value,
// so that two tabs can sign in at once. It says nothing about the user.
const Flow = Name + "-flow"

// Names returns the names of all cookies of the sidecar.
func Names() []string { return []string{Name, Former, Known, Flow} }

const (
	// knownLife is how long the auth service keeps the record of an ended session.
	knownLife = 30 * 24 * time.Hour
	// maxKnown is the number of accounts for which a browser is a known device.
	maxKnown  = 3
	separator = "~" // never part of a token
)

// formerLife is how long after the end of its session a form can still be kept: a
// page may stay open overnight.
const formerLife = 24 * time.Hour

// flowLife is longer than the ten minutes for which the auth service remembers a
// sign-in that has begun.
const flowLife = 15 * time.Minute

// attributes are those of all cookies. SameSite is Lax: with Strict, users who follow
// a link from another site would seem signed out. Cross-site writes are refused by
// their origin (package app), not by this attribute.
const attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax"

// A State says which session cookie a request has.
type State int

// The states.
const (
	// None: no session cookie.
	None State = iota
	// One: one cookie, with the shape of a refresh token.
	One
	// Unusable: a value without the shape of a refresh token, or several cookies that
	// some server takes for ours, one of which may be planted. The sender counts as a
	// stranger, and the cookie is cleared.
	Unusable
)

// Read returns the session cookie of a request. Only name=value counts, as browsers
// send it (RFC 6265 section 4.2.1). Names are case-sensitive.
func Read(h http1.Header) (value string, state State) { return read(h, Name) }

// ReadFormer returns the refresh token of the browser's former session, or "".
func ReadFormer(h http1.Header) string {
	value, _ := read(h, Former)
	return value
}

// ReadKnown returns the refresh tokens of ended sessions of this browser, the newest
// first.
func ReadKnown(h http1.Header) []string {
	value, state := find(h, Known)
	if state != One {
		return nil
	}
	var known []string
	for token := range strings.SplitSeq(value, separator) {
		if _, ok := api.ParseRefreshToken(token); ok && len(known) < maxKnown {
			known = append(known, token)
		}
	}
	return known
}

// ReadFlow returns the value of the flow cookie, or "" if NewFlow has not made it.
func ReadFlow(h http1.Header) string {
	value, state := find(h, Flow)
	if state != One || len(value) != len(rand.Text()) || strings.Trim(value, flowAlphabet) != "" {
		return ""
	}
	return value
}

// NewFlow returns a new value for the flow cookie.
func NewFlow() string { return rand.Text() }

// flowAlphabet is the alphabet of rand.Text.
const flowAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func read(h http1.Header, want string) (value string, state State) {
	value, state = find(h, want)
	if _, ok := api.ParseRefreshToken(value); state == One && !ok {
		return "", Unusable
	}
	return value, state
}

// find returns the value of the only cookie called want.
func find(h http1.Header, want string) (value string, state State) {
	legacy := false
	for header := range h.Values("Cookie") {
		for rest, more := header, true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			name, v, ok := strings.Cut(strings.TrimPrefix(pair, " "), "=")
			switch {
			case ok && name == want && state == None:
				value, state = v, One
			case ok && name == want:
				return "", Unusable
			case http1.SameName(name, want): // in another case, or without a value
			case MayBe(pair, want):
				return "", Unusable
			case strings.HasPrefix(strings.TrimLeft(name, " \t"), "$"):
				legacy = true
			}
		}
	}
	// $Version and the like announce RFC 2965, by which the field parses differently.
	if state == One && legacy {
		return "", Unusable
	}
	return value, state
}

// Set returns the Set-Cookie value for token. The cookie outlives the end of its
// session by formerLife, so that the sidecar sees it and can make it the former one.
func Set(token string, end, now time.Time) string {
	return write(Name, token, max(0, end.Sub(now))+formerLife)
}

// Clear returns the Set-Cookie value that deletes the session cookie.
func Clear() string { return write(Name, "", 0) }

// End returns the Set-Cookie values for token, whose session has ended other than by
// logout: it becomes the former one, and the newest of the known ones.
func End(token string, known []string) []string {
	return []string{Clear(), SetFormer(token), AddKnown(token, known)}
}

// SetFormer returns the Set-Cookie value that makes token the former one.
func SetFormer(token string) string { return write(Former, token, formerLife) }

// ClearFormer returns the Set-Cookie value that deletes the former token.
func ClearFormer() string { return write(Former, "", 0) }

// AddKnown returns the Set-Cookie value that adds token, whose session has ended, to
// the known ones.
func AddKnown(token string, known []string) string {
	return SetKnown(append([]string{token}, known...))
}

// SetKnown returns the Set-Cookie value that replaces the known tokens by the first
// maxKnown of these.
func SetKnown(known []string) string {
	if len(known) == 0 {
		return write(Known, "", 0)
	}
	return write(Known, strings.Join(known[:min(len(known), maxKnown)], separator), knownLife)
}

// SetFlow returns the Set-Cookie value for the flow cookie, which renews its lifetime.
func SetFlow(value string) string { return write(Flow, value, flowLife) }

func write(name, value string, life time.Duration) string {
	return name + "=" + value + attributes + "; Max-Age=" + strconv.FormatInt(int64(life/time.Second), 10)
}
