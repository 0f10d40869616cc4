// Package forward carries one exchange to one fixed upstream and back.
//
// It owns what a message may say on the other side: hop-by-hop fields, the identity, forwarding and routing fields of
// a client (none passes, in any spelling), our cookie (neither side sees it go through), and the fields that are ours
// to set. It owns the connections to upstreams, their reuse and the few retries that are safe.
//
// It knows nothing of sessions or routes: the caller says what to inject, and whether to relay an answer or to discard
// it and ask again. It never logs; errors carry their reason.
package forward
