// Package cookie reads and writes the browser's one cookie, whose value is the
// refresh token. Nothing else of the sidecar knows its name or attributes.
package cookie

import (
	"strconv"
	"strings"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// Name is the cookie's name. The __Host-Http- prefix makes a browser keep it
// only when it is Secure, HttpOnly, Path=/ and of this very host (R4), and older
// browsers, which know only the __Host- prefix, hold to that.
const Name = "__Host-Http-lilypad"

// SameSite is Lax and not Strict: with Strict, whoever follows a link from a
// mail or another site arrives as a stranger. Writes are guarded by their
// origin (package app), not by this attribute.
const attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax"

// maxLen is the most that a token of ours is long.
const maxLen = 200

// A State says what a request carries.
type State int

// The states.
const (
	// None: no cookie of our name.
	None State = iota
	// One: a value that may be one of our tokens.
	One
	// Unusable: several cookies of our name, or a value that is no token of
	// ours by its looks. The sender is a stranger, and the cookie is cleared.
	Unusable
)

// Read looks for our cookie in all Cookie headers. With several of them it
// never takes "the first one": one may have been planted (R4).
func Read(h http1.Header) (value string, state State) {
	for header := range h.Values("Cookie") {
		for rest, more := header, true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			name, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || strings.TrimRight(name, " \t") != Name {
				continue
			}
			if state != None {
				return "", Unusable
			}
			value, state = strings.Trim(v, " \t"), One
		}
	}
	if state == One && !plausible(value) {
		return "", Unusable
	}
	return value, state
}

// Set returns the Set-Cookie value that gives the browser token until end.
func Set(token string, end, now time.Time) string {
	seconds := max(0, int64(end.Sub(now)/time.Second))
	return Name + "=" + token + attributes + "; Max-Age=" + strconv.FormatInt(seconds, 10)
}

// Clear returns the Set-Cookie value that takes the cookie from the browser.
func Clear() string { return Name + "=" + attributes + "; Max-Age=0" }

// plausible reports whether v has the shape of a token, so that most forgeries
// cost no call to the auth service.
func plausible(v string) bool {
	if len(v) > maxLen || !strings.HasPrefix(v, "v1.") || strings.Count(v, ".") != 4 {
		return false
	}
	for i := range len(v) {
		c := v[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
