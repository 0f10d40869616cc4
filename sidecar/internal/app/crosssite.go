package app

import (
	"net/http"
	"strings"

	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

// meant reports whether a state change was asked for by a page of our own
// origin, or by no browser at all. Opening a WebSocket counts as one: it is not
// bound by the same-origin policy.
//
// A browser says so in Sec-Fetch-Site, or in Origin if it is older. One of the
// two must be there with a cookie of ours: browsers leave both out for reads
// only, and a client that is no browser has no reason to hold our cookie. Who
// has none can be asked for nothing in somebody's name, except to sign in; there
// a foreign Origin is refused, and none is that of a program.
//
// Referer is no substitute. Browsers that send no Origin with a form are older
// than the cookie's prefix, and pages may forbid Referer.
func meant(q *http1.Request, client forward.Client) bool {
	switch q.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if !opensWebSocket(q) {
			return true
		}
	}
	if site := q.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	ours := cookie.Sent(q.Header)
	origin := q.Header.Get("Origin")
	if origin == "" {
		return !ours
	}
	scheme, host, _ := strings.Cut(origin, "://")
	return host == client.Host && (scheme == client.Proto || !ours)
}

// opensWebSocket reports whether q asks for a WebSocket, or asks in the name of
// a request that does: a proxy keeps Upgrade to itself.
func opensWebSocket(q *http1.Request) bool {
	return q.WebSocket() || q.Header.Get("Sec-Websocket-Key") != ""
}
