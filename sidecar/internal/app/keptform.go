package app

import (
	"context"
	"errors"
	"net/http"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/keptform"
	"lilypad.example/sidecar/internal/redirect"
)

// notKept is appended to a refusal if the posted form could not be kept.
const notKept = " This was not carried out, and what you entered could not be kept. Go back in your browser:" +
	" it is often still there. Copy it, sign in, and send it again."

// keepForm keeps a form that was posted without a session that is good for it: the
// session has ended, or the sign-in is too old. It has responded if it returns true;
// otherwise it has extended p. A POST is never redirected to its own address, where
// it would become a GET.
func (h *handler) keepForm(x *http1.Exchange, v *visit, p *problem.Problem) bool {
	former := v.Former()
	confirmed, err := h.confirmed(x, former)
	switch {
	case err != nil:
		h.failBody(x, err)
		return true
	case confirmed:
		// The session that was to send the kept form has ended, too. The form is
		// still kept, and opens only with the token of the session that it came from.
		if v.Ended {
			v.SetCookies = []string{cookie.Clear(), cookie.AddKnown(v.Token, v.Known())}
		}
		h.toKeptForm(x, v)
		return true
	case v.Ended:
		former = v.Token
	case v.SignedIn():
		former = v.Session.Cookie
	case former == "":
		p.Detail += notKept // a stranger's
		return false
	}
	if !h.reserve(x, v, v.Session.SessionID) {
		return true
	}
	f, err := readForm(x)
	if err == nil {
		err = h.forms.Keep(x.Context(), former, f)
	}
	switch {
	case err == nil:
		h.metrics.forms.WithLabelValues("kept").Inc()
		if !v.Ended {
			v.SetCookies = append(v.SetCookies, cookie.SetFormer(former)) // renews its lifetime
		}
		h.toKeptForm(x, v)
		return true
	case x.Over() != http1.ReasonNone:
		return true // the client has gone
	}
	h.metrics.forms.WithLabelValues("not_kept").Inc()
	h.log.Info("form could not be kept", "error", err, "request_id", x.ID())
	p.Detail += notKept
	return false
}

// readForm reads a posted form. It fails with keptform.ErrNotKept for anything else.
func readForm(x *http1.Exchange) (keptform.Form, error) {
	q := &x.Request
	f := keptform.Form{Target: q.Target, ContentType: q.Header.Get("Content-Type")}
	if !keptform.Is(f.ContentType) || redirect.Safe(f.Target) == "" {
		return f, keptform.ErrNotKept
	}
	var err error
	f.Body, err = x.ReadBody(keptform.MaxBytes)
	return f, err
}

// toKeptForm redirects the browser to the login page, which leads to the kept form.
func (h *handler) toKeptForm(x *http1.Exchange, v *visit) {
	h.goTo(x, v, redirect.ToPage(h.loginPath, redirect.KeptForm, "form_kept"))
}

// confirmed reports whether x, a POST, is the confirmation that our own page posts
// to the kept form's address when its user presses the button. Otherwise it leaves x
// unchanged. It fails with the errors of Exchange.ReadBody.
func (h *handler) confirmed(x *http1.Exchange, former string) (bool, error) {
	q := &x.Request
	want := keptform.Confirmation(former)
	if former == "" || q.Body.Length() != int64(len(want)) {
		return false, nil
	}
	body, err := x.ReadBody(int64(len(want)))
	if err != nil {
		return false, err
	}
	if string(body) == want {
		return true, nil
	}
	q.SetContent(q.Header.Get("Content-Type"), body)
	return false, nil
}

// release replaces a confirmation in x by the kept form, which is then handled like
// any other request. It has responded if it returns false.
func (h *handler) release(x *http1.Exchange, v *visit) bool {
	if !v.SignedIn() || x.Request.Method != http.MethodPost {
		return true
	}
	former := v.Former()
	confirmed, err := h.confirmed(x, former)
	if err != nil {
		h.failBody(x, err)
		return false
	}
	if !confirmed {
		return true
	}
	f, err := h.forms.Claim(x.Context(), v.Session.Authorization, former)
	var p *problem.Problem
	switch {
	case err == nil && f.BelongsTo(x.Request.Target):
		v.form = f
		x.Request.SetContent(f.ContentType, f.Body)
		return true
	case err == nil:
		h.settle(x, f, false)
		p = problem.New(http.StatusBadRequest, "form_elsewhere", "What you entered belongs to another address, so nothing was sent. It is still kept.")
	case errors.Is(err, keptform.ErrUnavailable):
		h.log.Warn("kept form could not be claimed", "error", err, "request_id", x.ID())
		p = problem.New(http.StatusServiceUnavailable, problem.Unavailable, "This cannot be sent at the moment. It is still kept: please try again shortly.")
		p.RetryAfter = authclient.RetryAfter(err)
	case errors.Is(err, keptform.ErrClaimed):
		p = problem.New(http.StatusConflict, "form_claimed", "What you entered is being sent at this moment, so it was not sent again."+
			" If there is no answer within two minutes, you can send it once more.")
	default:
		h.metrics.forms.WithLabelValues("gone").Inc()
		v.SetCookies = append(v.SetCookies, cookie.ClearFormer())
		p = problem.New(http.StatusGone, "form_gone",
			"What you entered is not kept any more, so nothing was sent now. It may have been sent before, or its ten minutes are over.")
	}
	h.refuse(x, v.SetCookies, p)
	return false
}

// settleForm ends the claim on v's kept form. The form counts as sent if the upstream
// responded with a status below 500; otherwise it stays. If the client disconnected,
// the outcome is unknown, and the claim stays until it expires: pressing the button
// twice makes a browser disconnect, and must not send the form twice.
func (h *handler) settleForm(x *http1.Exchange, v *visit, res *forward.Response, failed error) {
	switch {
	case failed == nil && res.Status() < http.StatusInternalServerError:
		h.metrics.forms.WithLabelValues("sent").Inc()
		v.SetCookies = append(v.SetCookies, cookie.ClearFormer())
		h.settle(x, v.form, true)
	case failed == nil || forward.Status(failed) != 0:
		h.metrics.forms.WithLabelValues("not_sent").Inc()
		h.settle(x, v.form, false)
	}
}

// settle ends a claim, even if x has ended.
func (h *handler) settle(x *http1.Exchange, c *keptform.Claim, sent bool) {
	if err := c.Settle(context.WithoutCancel(x.Context()), sent); err != nil {
		h.log.Warn("claim on a kept form could not be ended", "sent", sent, "error", err, "request_id", x.ID())
	}
}

// failBody responds when a body could not be read.
func (h *handler) failBody(x *http1.Exchange, err error) {
	fault, ok := errors.AsType[*http1.Fault](err)
	if !ok {
		x.ClientGone()
		return
	}
	x.SetReason(fault.Reason)
	h.refuse(x, nil, unread(fault.Status))
}
