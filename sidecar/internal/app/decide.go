package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/session"
)

// The functions in this file decide whether a request may pass. They are the same for
// a browser's own request and for a proxy's question about one (verify.go), so they
// know nothing of connections.

// A caller waits for the decision on a request.
type caller interface {
	// mayWait is called before a call to the auth service. session is the visitor's
	// session if that is in memory, or "". The context ends when the caller has gone.
	mayWait(session string) (context.Context, error)
}

// exchange is the caller whose own HTTP/1 request is decided on.
type exchange struct{ *http1.Exchange }

func (x exchange) mayWait(session string) (context.Context, error) {
	if err := x.Reserve(session); err != nil {
		return nil, err
	}
	// The wait for the auth service ends when the client disconnects; authclient
	// bounds how long it takes.
	x.Guard(nil)
	return x.Context(), nil
}

// identify finds out who sent a request, unless r is public. A visitor without a
// session is no error; an outage is.
func (h *handler) identify(c caller, r *route.Route, v *visit) error {
	if r.Policy == route.Public {
		return nil
	}
	err := h.visitors.FromMemory(&v.Visitor)
	if !errors.Is(err, session.ErrUnknown) {
		return err
	}
	ctx, err := c.mayWait(h.known(v))
	if err != nil {
		return err
	}
	return h.visitors.Find(ctx, &v.Visitor)
}

// A denial says why a request does not pass, and what its browser gets instead.
type denial struct {
	problem *problem.Problem
	to      string // page of the application to redirect to; "" to respond with problem
	late    bool   // a form that would pass after signing in
}

// judge applies r's policy to v's request. It returns nil if the request may pass.
func (h *handler) judge(q *http1.Request, r *route.Route, v *visit, now time.Time) *denial {
	who := route.Visitor{SignedIn: v.SignedIn(), Roles: v.Session.Roles, AuthTime: v.Session.AuthTime, ACR: v.Session.ACR}
	verdict := r.Judge(who, now)
	if verdict == route.Pass {
		return nil
	}
	d := &denial{problem: refusal(r, verdict, v)}
	// Only a navigation is redirected: a fetch would get the page as its response.
	if page.WantsPage(q.Method, q.Header.Get) {
		switch q.Method {
		case http.MethodGet, http.MethodHead:
			d.to = h.pageInstead(r, verdict, v, d.problem.Code, q.Target)
		case http.MethodPost:
			d.late = verdict != route.Forbid && !outOfReach(r, verdict, v)
		}
	}
	return d
}
