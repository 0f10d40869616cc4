package app

import (
	"context"
	"errors"
	"net/http"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/form"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/redirect"
)

// notKept ends a refusal of what was posted and could not be kept.
const notKept = " This was not carried out, and what you entered could not be kept. Go back in your browser:" +
	" it is often still there. Copy it, sign in, and send it again."

// keepForm keeps a form of whoever has to sign in before it can be sent (W15):
// of a session that is over, or that is not fresh enough. It has answered when
// it returns true; otherwise p says what became of the form. A POST never
// becomes a GET of its own address.
func (h *handler) keepForm(x *http1.Exchange, v *visitor, p *problem.Problem) bool {
	former := cookie.ReadFormer(x.Request.Header)
	confirmed, err := h.confirmed(x, former)
	switch {
	case err != nil:
		h.failBody(x, err)
		return true
	case confirmed:
		// The session that was to send the kept form is over as well. The form
		// still waits, and opens only with the session that it came from.
		if v.ended {
			v.setCookies = []string{cookie.Clear(), cookie.AddKnown(v.cookie, cookie.ReadKnown(v.header))}
		}
		h.toKeptForm(x, v)
		return true
	case v.ended:
		former = v.cookie
	case v.signedIn():
		former = v.view.Cookie
	case former == "":
		p.Detail += notKept // a stranger's
		return false
	}
	if !h.reserve(x, v.view.SessionID) {
		return true
	}
	f, err := readForm(x)
	if err == nil {
		err = h.forms.Keep(x.Context(), former, f)
	}
	switch {
	case err == nil:
		h.metrics.forms.WithLabelValues("kept").Inc()
		if !v.ended {
			v.setCookies = append(v.setCookies, cookie.SetFormer(former)) // for as long as a new one
		}
		h.toKeptForm(x, v)
		return true
	case x.Over() != http1.ReasonNone:
		return true // the client has gone
	}
	h.metrics.forms.WithLabelValues("not_kept").Inc()
	h.log.Info("a form could not be kept", "error", err, "request_id", x.ID())
	p.Detail += notKept
	return false
}

// readForm reads a form that may be kept.
func readForm(x *http1.Exchange) (form.Form, error) {
	q := &x.Request
	f := form.Form{Target: q.Target, ContentType: q.Header.Get("Content-Type")}
	if !form.Is(f.ContentType) || redirect.Safe(f.Target) == "" {
		return f, form.ErrNotKept
	}
	var err error
	f.Body, err = x.ReadBody(form.MaxBytes)
	return f, err
}

// toKeptForm sends the browser to the login page, and from there to the form.
func (h *handler) toKeptForm(x *http1.Exchange, v *visitor) {
	h.goTo(x, v, redirect.ToPage(h.loginPath, redirect.KeptForm, "form_kept"))
}

// confirmed reports whether x, a POST, is the word of a person that the form that is kept
// for them may be sent: what our own page posts to the form's address, in its
// place. Otherwise x is as it was. It fails as reading a body does.
func (h *handler) confirmed(x *http1.Exchange, former string) (bool, error) {
	q := &x.Request
	word := form.Confirmation(former)
	if former == "" || q.Body.Length() != int64(len(word)) {
		return false, nil
	}
	body, err := x.ReadBody(int64(len(word)))
	if err != nil {
		return false, err
	}
	if string(body) == word {
		return true, nil
	}
	q.SetContent(q.Header.Get("Content-Type"), body)
	return false, nil
}

// release puts the kept form in the place of the word that it may be sent. From
// there on it is a request like any other. It has answered when it returns false.
func (h *handler) release(x *http1.Exchange, v *visitor) bool {
	former := cookie.ReadFormer(x.Request.Header)
	confirmed, err := h.confirmed(x, former)
	if err != nil {
		h.failBody(x, err)
		return false
	}
	if !confirmed {
		return true
	}
	f, err := h.forms.Claim(x.Context(), v.view.Authorization, former)
	var p *problem.Problem
	switch {
	case err == nil && f.BelongsTo(x.Request.Target):
		v.form = f
		x.Request.SetContent(f.ContentType, f.Body)
		return true
	case err == nil:
		h.settle(x, f, false)
		p = problem.New(http.StatusBadRequest, "form_elsewhere", "What you entered belongs to another address, so nothing was sent. It is still kept.")
	case errors.Is(err, form.ErrUnavailable):
		h.log.Warn("a kept form could not be claimed", "error", err, "request_id", x.ID())
		p = problem.New(http.StatusServiceUnavailable, problem.Unavailable, "This cannot be sent at the moment. It is still kept: please try again shortly.")
		p.RetryAfter = authclient.RetryAfter(err)
	case errors.Is(err, form.ErrClaimed):
		p = problem.New(http.StatusConflict, "form_claimed", "What you entered is being sent at this moment, so it was not sent again."+
			" If there is no answer within two minutes, you can send it once more.")
	default:
		h.metrics.forms.WithLabelValues("gone").Inc()
		v.setCookies = append(v.setCookies, cookie.ClearFormer())
		p = problem.New(http.StatusGone, "form_gone",
			"What you entered is not kept any more, so nothing was sent now. It may have been sent before, or its ten minutes are over.")
	}
	h.refuse(x, v.setCookies, p)
	return false
}

// settleForm says what became of v's kept form: it is sent when the upstream has
// given an answer below 500, and otherwise stays. If the client has left, nobody
// knows: the claim stays too, because a button that is pressed twice makes a
// browser leave, and must not send the form twice.
func (h *handler) settleForm(x *http1.Exchange, v *visitor, res *forward.Response, failed error) {
	switch {
	case failed == nil && res.Status() < http.StatusInternalServerError:
		h.metrics.forms.WithLabelValues("sent").Inc()
		v.setCookies = append(v.setCookies, cookie.ClearFormer())
		h.settle(x, v.form, true)
	case failed == nil || forward.Status(failed) != 0:
		h.metrics.forms.WithLabelValues("not_sent").Inc()
		h.settle(x, v.form, false)
	}
}

// settle ends a claim, also if x is over meanwhile.
func (h *handler) settle(x *http1.Exchange, c *form.Claim, sent bool) {
	if err := c.Settle(context.WithoutCancel(x.Context()), sent); err != nil {
		h.log.Warn("a kept form could not be settled", "sent", sent, "error", err, "request_id", x.ID())
	}
}

// failBody answers for a body that could not be read.
func (h *handler) failBody(x *http1.Exchange, err error) {
	fault, ok := errors.AsType[*http1.Fault](err)
	if !ok {
		x.ClientGone()
		return
	}
	x.SetReason(fault.Reason)
	h.refuse(x, nil, unread(fault.Status))
}
