// Package session owns refresh-token families: what a refresh token is, and
// what happens to its family when it is presented.
//
// Decide is the rule, pure and without a clock of its own. A Store applies the
// very same rule atomically (redis/use.lua is its only other statement), and
// the conformance suite in storetest holds the two equal. The package knows
// nothing of HTTP, Redis, users or access tokens.
//
// The invariant: one refresh token has at most one successor, for ever
// (RFC 9700 section 4.14.2). A successor is recomputed from (family,
// generation, key id) and never stored.
package session
