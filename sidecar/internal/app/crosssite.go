package app

import (
	"net/http"
	"strings"

	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
)

// sameOrigin reports whether a write comes from a page of our own origin, or not
// from a browser (CSRF protection). Opening a WebSocket counts as a write, because
// the same-origin policy does not restrict it.
//
// Browsers send Sec-Fetch-Site, older ones Origin. A request with one of our cookies
// must have one of the two: browsers omit both for reads only, and other clients
// have no reason to hold our cookies. A request without our cookies can do nothing
// on a user's behalf except sign in; a foreign Origin is refused there, and a missing
// one means a program.
//
// The only writes from elsewhere that are allowed are endpoints.FromElsewhere and those
// that a route admits, see mayWrite.
//
// Referer is no substitute: pages may suppress it, and browsers that send no Origin
// with a form are too old for the cookie's name prefix.
func sameOrigin(q *http1.Request, client forward.Client) bool {
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

// mayWrite reports whether q may change something: it comes from our own origin, or
// posts to r from an origin that r admits.
func mayWrite(q *http1.Request, client forward.Client, r *route.Route) bool {
	if sameOrigin(q, client) {
		return true
	}
	origin, once := single(q.Header, "Origin")
	return r != nil && once && !opensWebSocket(q) && r.Admits(q.Method, origin)
}

// opensWebSocket reports whether q opens a WebSocket, or is a proxy's question about
// a request that does: a proxy does not pass Upgrade on.
func opensWebSocket(q *http1.Request) bool {
	return q.WebSocket() || q.Header.Get("Sec-Websocket-Key") != "" || q.Header.Get("Sec-Websocket-Version") != ""
}
