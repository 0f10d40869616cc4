// Package cookie reads and writes the browser's one cookie, whose value is the
// refresh token, and the two that are left of it when its session has ended.
// Nothing else of the sidecar knows their names or attributes.
package cookie

import (
	"strconv"
	"strings"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/http1"
)

// Name is the cookie's name. The __Host-Http- prefix makes a browser keep it
// only when it is Secure, HttpOnly, Path=/ and of this very host (R4), and older
// browsers, which know only the __Host- prefix, hold to that.
const Name = "__Host-Http-lilypad"

// Former is the name under which a browser keeps the refresh token of its
// former session, which is over: to show whose form it was that was posted too
// late, and to open it again (package form). No session is ever looked up by it.
const Former = Name + "-former"

// Known is the name under which a browser keeps the refresh tokens of sessions
// that have ended, also by signing out, of a few accounts. With them it is a
// known device when somebody signs in to one of these accounts again, and
// strangers who guess at its password do not keep its owner out. No session is
// ever looked up by it, and no form kept or opened. It names no account.
const Known = Name + "-known"

// Names are the names of all our cookies.
func Names() []string { return []string{Name, Former, Known} }

const (
	// knownLife is as long as the auth service keeps the record of a session
	// after its end.
	knownLife = 30 * 24 * time.Hour
	// maxKnown is how many sessions a browser remembers: of people who share it.
	maxKnown  = 3
	separator = "~" // in no token
)

// formerLife is how long after its session's end a form may be posted and still
// be known to be its user's: a page that was left open overnight.
const formerLife = 24 * time.Hour

// SameSite is Lax and not Strict: with Strict, whoever follows a link from a
// mail or another site arrives as a stranger. Writes are guarded by their
// origin (package app), not by this attribute.
const attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax"

// A State says what a request carries.
type State int

// The states.
const (
	// None: no cookie of our name.
	None State = iota
	// One: a value that may be one of our tokens.
	One
	// Unusable: a value that is no token of ours by its looks, or another cookie
	// that some server takes for ours: one of the two may have been planted. The
	// sender is a stranger, and the cookie is cleared.
	Unusable
)

// Read looks for our cookie in all Cookie fields. It takes exactly name=value,
// as browsers send it (RFC 6265, section 4.2.1). Names are case-sensitive there,
// so another case is another cookie.
func Read(h http1.Header) (value string, state State) { return read(h, Name) }

// ReadFormer returns the refresh token of the browser's former session, or "".
func ReadFormer(h http1.Header) string {
	value, _ := read(h, Former)
	return value
}

// ReadKnown returns the refresh tokens of sessions that this browser had, the
// newest first.
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

func read(h http1.Header, want string) (value string, state State) {
	value, state = find(h, want)
	if _, ok := api.ParseRefreshToken(value); state == One && !ok {
		return "", Unusable
	}
	return value, state
}

// find returns the value of the one cookie of a name.
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
	// $Version and its like announce the syntax of RFC 2965, in which the field
	// has another reading.
	if state == One && legacy {
		return "", Unusable
	}
	return value, state
}

// Set returns the Set-Cookie value that gives the browser token until its
// session's end, and as long beyond as a former session is remembered: so the
// end is noticed by whoever sends the cookie, and not by the browser alone.
func Set(token string, end, now time.Time) string {
	return write(Name, token, max(0, end.Sub(now))+formerLife)
}

// Clear returns the Set-Cookie value that takes the cookie from the browser.
func Clear() string { return write(Name, "", 0) }

// End returns the Set-Cookie values that make token, whose session has ended by
// itself or from elsewhere, the former one, and the newest of the known.
func End(token string, known []string) []string {
	return []string{Clear(), SetFormer(token), AddKnown(token, known)}
}

// SetFormer returns the Set-Cookie value that has the browser remember token
// for a while from now on.
func SetFormer(token string) string { return write(Former, token, formerLife) }

// ClearFormer returns the Set-Cookie value that has it forget that.
func ClearFormer() string { return write(Former, "", 0) }

// AddKnown returns the Set-Cookie value that has the browser remember token,
// whose session is over, and before it the known ones.
func AddKnown(token string, known []string) string {
	return SetKnown(append([]string{token}, known...))
}

// SetKnown returns the Set-Cookie value that has the browser remember the first
// few of these tokens, and no others.
func SetKnown(known []string) string {
	if len(known) == 0 {
		return write(Known, "", 0)
	}
	return write(Known, strings.Join(known[:min(len(known), maxKnown)], separator), knownLife)
}

func write(name, value string, life time.Duration) string {
	return name + "=" + value + attributes + "; Max-Age=" + strconv.FormatInt(int64(life/time.Second), 10)
}
