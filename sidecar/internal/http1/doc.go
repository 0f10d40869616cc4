// Package http1 is the sidecar's HTTP/1.1 engine: the syntax of messages (RFC 9110, RFC 9112) and the life of
// client connections.
//
// It owns how bytes become a [Request], how answers become bytes, and every limit on the way. It knows nothing of
// sessions, policy, upstreams or logging: a handler gets an [Exchange], and refusals are reported to a hook.
//
// The invariant: a message has one reading or none. Whatever two parsers could read differently (lengths, line ends,
// paths, repeated fields) is answered with a 4xx and the connection closed, so no byte behind it is ever interpreted.
package http1
