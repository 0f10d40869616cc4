package app

import (
	"fmt"
	"net/http"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
)

// The auth service renders the pages under /auth/: to the sidecar it is an application
// behind a route that it always has, so that no policy can close the way to sign in.
// Everything that is done for requests to an application is done for these, too: the
// cookie stays here, and the access token of the visitor is added.

// openHosted returns the upstream for the pages of the auth service.
func openHosted(c *Config, f *forward.Forwarder) (*forward.Upstream, error) {
	endpoint, err := forward.ParseEndpoint(c.AuthURL)
	if err != nil {
		return nil, fmt.Errorf("LILYPAD_AUTH_URL: %w", err)
	}
	return f.Upstream(forward.UpstreamConfig{
		Endpoints: []forward.Endpoint{endpoint}, HeaderTimeout: c.HeaderTimeout, MaxExchanges: c.MaxUpstreamRequests,
	}), nil
}

// serveHosted forwards a request for a page of the auth service.
func (h *handler) serveHosted(x *http1.Exchange, client forward.Client, v *visit) {
	if err := x.LimitBody(endpoints.MaxBody); err != nil {
		x.SetReason(http1.ReasonBodyTooLarge)
		h.refuse(x, nil, unread(http.StatusRequestEntityTooLarge))
		return
	}
	r := route.Hosted()
	v.hosted = true
	if !h.admit(x, r, v) || !h.reserve(x, v, v.Session.SessionID) {
		return
	}
	h.forward(x, r, h.hosted, v, forward.RequestEdit{Client: client})
}

// noPages is the problem for a page that the auth service does not render now.
func noPages() *problem.Problem {
	return problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Signing in and out does not work at the moment. Please try again shortly.")
}
