package app

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/route"
)

// Details of problems that are sent in two places.
const (
	nothingHere   = "There is nothing at this address."
	fromElsewhere = "This request did not come from a page of this site, and was not carried out."
)

// stale is the error code of RFC 9470 for an authentication that is too old.
const stale = "insufficient_user_authentication"

// outOfReach reports whether v's way of signing in can never satisfy r: a password has no
// authentication context class.
func outOfReach(r *route.Route, verdict route.Verdict, v *visit) bool {
	return verdict == route.SignInAgain && v.Session.Provider == "" && !r.TakesACR("")
}

// refusal returns the problem for a verdict other than Pass.
func refusal(r *route.Route, verdict route.Verdict, v *visit) *problem.Problem {
	var p *problem.Problem
	switch verdict {
	case route.SignInAgain:
		p = problem.New(http.StatusUnauthorized, stale, "Please sign in again to go on.")
		if outOfReach(r, verdict, v) {
			p.Detail = "This needs a stronger sign-in than a password. Sign in with your identity provider instead, for example your company's."
		}
		p.Challenge = stepUp(r)
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

// stepUp returns the challenge of RFC 9470 section 3 for a route that asks for a recent sign-in, for
// one of certain classes, or for both.
func stepUp(r *route.Route) string {
	says := "More recent authentication is required"
	if len(r.ACR) > 0 {
		says = "A different authentication level is required"
	}
	challenge := fmt.Sprintf("Bearer error=%q, error_description=%q", stale, says)
	if r.MaxAge() > 0 {
		challenge += fmt.Sprintf(", max_age=\"%d\"", int(r.MaxAge().Seconds()))
	}
	if len(r.ACR) > 0 {
		challenge += fmt.Sprintf(", acr_values=%q", strings.Join(r.ACR, " "))
	}
	return challenge
}

// goTo redirects the browser to a page of the application.
func (h *handler) goTo(x *http1.Exchange, v *visit, address string) {
	h.respond(x, http.StatusSeeOther, location(address), v.SetCookies, nil)
}

// location returns the fields of a redirect.
func location(address string) http1.Header {
	return http1.Header{{Name: "Location", Value: address}, {Name: "Cache-Control", Value: "no-store"}}
}

// pageInstead returns where to redirect a browser that may not see target, or "" if
// it gets the refusal itself.
func (h *handler) pageInstead(r *route.Route, verdict route.Verdict, v *visit, code problem.Code, target string) string {
	switch {
	case outOfReach(r, verdict, v):
		return ""
	case verdict == route.SignInAgain && v.Session.Provider != "":
		return redirect.ToPage(redirect.Provider(v.Session.Provider), target, "")
	case verdict == route.SignInAgain: // deny.page is for accounts that lack access
		return redirect.ToPage(h.loginPath, target, string(code))
	case r.Deny.Page != "":
		return redirect.ToPage(r.Deny.Page, target, string(code))
	case verdict == route.SignIn: // not an error, so no code
		return redirect.ToPage(h.loginPath, target, "")
	}
	return ""
}

// fail responds 503 when the session could not be looked up. The cookie stays.
func (h *handler) fail(x *http1.Exchange, err error) {
	if x.Over() != http1.ReasonNone {
		return // the client has gone
	}
	if _, ok := errors.AsType[*http1.Fault](err); ok {
		h.failOverload(x, err)
		return
	}
	h.refuse(x, nil, h.outage(err, x.ID()))
}

// outage logs that a session could not be looked up, and returns the problem.
func (h *handler) outage(err error, requestID string) *problem.Problem {
	h.log.Warn("session could not be looked up", "error", err, "request_id", requestID)
	p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Your session cannot be checked at the moment. You are still signed in: please try again shortly.")
	p.RetryAfter = authclient.RetryAfter(err)
	return p
}

// failOverload responds 503 when there is no memory for x.
func (h *handler) failOverload(x *http1.Exchange, err error) {
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		x.SetReason(fault.Reason)
	}
	h.refuse(x, nil, busy())
}

// busy is the problem for an overload.
func busy() *problem.Problem {
	p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "There is too much to do at the moment. Please try again shortly.")
	p.RetryAfter = time.Second
	return p
}

// failUpstream responds when the upstream failed.
func (h *handler) failUpstream(x *http1.Exchange, v *visit, err error) {
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
	case v.hosted:
		p = noPages()
	}
	if v.form != nil {
		p.Detail += " What you entered is still kept: reload this page to send it again."
	}
	h.refuse(x, nil, p)
}

// unread is the problem for a request body that could not be read.
func unread(status int) *problem.Problem {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return problem.New(status, problem.TooLarge, "The request is larger than is accepted here.")
	case http.StatusRequestTimeout:
		return problem.New(status, "timeout", "The request took too long to arrive. Please try again.")
	}
	return problem.New(status, problem.BadRequest, "The request could not be read to its end.")
}

// refuse responds with p, as a page or as problem+json.
func (h *handler) refuse(x *http1.Exchange, setCookies []string, p *problem.Problem) {
	header, body := h.render(&x.Request, p)
	h.respond(x, p.Status, header, setCookies, body)
}

// render returns the header and body of the response to q for p.
func (h *handler) render(q *http1.Request, p *problem.Problem) (http1.Header, []byte) {
	header, body := h.pages.Render(p, page.WantsPage(q.Method, q.Header.Get))
	return http1.FromNetHTTP(header), body
}

// respond sends a whole response.
func (h *handler) respond(x *http1.Exchange, status int, header http1.Header, setCookies []string, body []byte) {
	for _, setCookie := range setCookies {
		header.Add("Set-Cookie", setCookie)
	}
	// The access log has the error: the exchange records it.
	_ = x.Respond(status, header, body)
}
