// Package session implements sessions as families of rotating refresh tokens.
//
// A Store decides atomically what happens to a family when one of its tokens is presented:
// redis.Decide is the executable specification, and redis/use.lua the implementation. This package
// adds what only the Records know. It does not depend on HTTP, Redis, users or access tokens.
//
// Invariant: a refresh token never has more than one successor (RFC 9700 section 4.14.2). The
// successor is computed from family, generation and key ID, and never stored.
package session
