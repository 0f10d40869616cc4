// Package forward is the proxy: it sends one exchange to one fixed upstream and relays the
// response.
//
// It filters fields in both directions: hop-by-hop fields, a client's identity, forwarding and
// routing fields in any spelling, and the sidecar's cookies. It sets the sidecar's own fields. It
// manages the connections to upstreams, their reuse and the few retries that are safe.
//
// It knows neither sessions nor routes: the caller says what to inject, and whether to relay a
// response or to discard it and send the request again. It never logs; errors have a reason.
package forward
