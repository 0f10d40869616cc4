// Package session owns refresh-token families: what a refresh token is, and
// what happens to its family when it is presented.
//
// A Store decides that atomically: redis.Decide is the rule as an executable
// specification, and redis/use.lua is its implementation. This package looks up
// in the Records what the Store cannot know. It knows nothing of HTTP, Redis,
// users or access tokens.
//
// The invariant: one refresh token has at most one successor, for ever
// (RFC 9700 section 4.14.2). A successor is recomputed from (family,
// generation, key id) and never stored.
package session
