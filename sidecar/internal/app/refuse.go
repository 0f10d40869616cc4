package app

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/route"
)

// stale is the code of RFC 9470 for who signed in too long ago.
const stale = "insufficient_user_authentication"

// refusal is what a verdict comes to.
func refusal(r *route.Route, verdict route.Verdict) *problem.Problem {
	var p *problem.Problem
	switch verdict {
	case route.SignInAgain:
		p = problem.New(http.StatusUnauthorized, stale, "Please sign in again to go on.")
		p.Challenge = fmt.Sprintf("Bearer error=%q, error_description=%q, max_age=\"%d\"",
			stale, "More recent authentication is required", int(r.MaxAge().Seconds()))
		return p
	case route.Forbid:
		p = problem.New(http.StatusForbidden, problem.Forbidden, "Your account may not do this.")
	default:
		p = problem.New(http.StatusUnauthorized, problem.Unauthorized, "Sign in to go on.")
		p.Challenge = "Bearer"
	}
	p.Detail = cmp.Or(r.Deny.Text, p.Detail)
	return p
}

// fail answers when nobody can say who sent x: later, and the cookie stays.
func (h *handler) fail(x *http1.Exchange, err error) {
	if x.Over() != http1.ReasonNone {
		return // the client has gone
	}
	if _, ok := errors.AsType[*http1.Fault](err); ok {
		h.failOverload(x, err)
		return
	}
	h.log.Warn("session could not be looked up", "error", err, "request_id", x.ID())
	p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Your session cannot be checked at the moment. You are still signed in: please try again shortly.")
	p.RetryAfter = authclient.RetryAfter(err)
	h.refuse(x, nil, p)
}

// failOverload answers when there is no memory for x, as a fault says.
func (h *handler) failOverload(x *http1.Exchange, err error) {
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		x.SetReason(fault.Reason)
	}
	h.refuse(x, nil, busy())
}

// busy asks to come again soon.
func busy() *problem.Problem {
	p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "There is too much to do at the moment. Please try again shortly.")
	p.RetryAfter = time.Second
	return p
}

// failUpstream answers for an upstream that did not.
func (h *handler) failUpstream(x *http1.Exchange, v *visitor, err error) {
	status := forward.Status(err)
	if status == 0 {
		return // the client has gone
	}
	h.log.Warn("upstream failed", "error", err, "request_id", x.ID())
	p := problem.New(status, "upstream_failed", "The application does not answer at the moment. Please try again shortly.")
	switch {
	case status == http.StatusServiceUnavailable:
		p = busy()
	case status < http.StatusInternalServerError:
		p = unread(status)
	}
	if v.form != nil {
		p.Detail += " What you entered is still kept: reload this page to send it again."
	}
	h.refuse(x, nil, p)
}

// unread says why a request's body was not read to its end.
func unread(status int) *problem.Problem {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return problem.New(status, problem.TooLarge, "The request is larger than is accepted here.")
	case http.StatusRequestTimeout:
		return problem.New(status, "timeout", "The request took too long to arrive. Please try again.")
	}
	return problem.New(status, problem.BadRequest, "The request could not be read to its end.")
}

// refuse answers with p, as a page or a document.
func (h *handler) refuse(x *http1.Exchange, setCookies []string, p *problem.Problem) {
	fields, body := h.pages.Render(p, page.WantsPage(x.Request.Method, x.Request.Header.Get))
	h.respond(x, p.Status, fields, setCookies, body)
}

func (h *handler) respond(x *http1.Exchange, status int, fields []http1.Field, setCookies []string, body []byte) {
	for _, setCookie := range setCookies {
		fields = append(fields, http1.Field{Name: "Set-Cookie", Value: setCookie})
	}
	// An error here is in the exchange's facts, and so in the access log.
	_ = x.Respond(status, fields, body)
}
