// Package http1 is the sidecar's HTTP/1.1 server: message syntax (RFC 9110, RFC 9112) and client
// connections.
//
// It parses requests into [Request], writes responses, and enforces all limits on both. It knows
// nothing of sessions, policy, upstreams or logging: a handler receives an [Exchange], and rejected
// requests are reported to a hook.
//
// The invariant: a message has exactly one interpretation. Anything that two parsers could read
// differently (lengths, line endings, paths, repeated fields) is answered with a 4xx status and the
// connection is closed, so that no byte after it is interpreted.
package http1
