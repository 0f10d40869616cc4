package app

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/look"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/revocation"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/keptform"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/stream"
	"lilypad.example/sidecar/internal/visitor"
)

// handler serves requests: it finds the route, refuses cross-site writes,
// identifies the visitor, applies the route's policy, and forwards.
type handler struct {
	routing   *routing
	sessions  *session.Cache
	visitors  *visitor.Finder
	forwarder *forward.Forwarder
	auth      *authclient.Client
	endpoints *endpoints.Endpoints
	forms     *keptform.Keeper
	pages     *page.Pages
	hosted    *forward.Upstream // the auth service, which renders pages
	loginPath string
	log       *slog.Logger
	accessLog slog.Handler
	logs      string // which requests are logged; see Config.AccessLog
	logOneOf  int    // with logs sampled
	maxBody   int64  // of a request, 0 for any size
	metrics   *instruments
	streams   *stream.Registry[http1.Handle]
	feed      *revocation.Follower
}

// visit is one request's visitor, and what the handler learns on the way.
type visit struct {
	visitor.Visitor

	// form is the kept form that is sent in place of the request.
	form *keptform.Claim
	// passed reports that the client's own Authorization is for the upstream.
	passed bool
	// hosted reports that the request is for a page of the auth service.
	hosted bool
}

// handle serves one request of a browser.
func (h *handler) handle(x *http1.Exchange) {
	q := &x.Request
	ours := strings.HasPrefix(q.Path, endpoints.Prefix)
	r, upstream := h.routing.match(q.Method, q.Path)
	if r == nil && !ours {
		h.refuse(x, nil, problem.New(http.StatusNotFound, problem.NotFound, nothingHere))
		return
	}
	client := h.forwarder.Client(x)
	if !mayWrite(q, client, r) && !endpoints.FromElsewhere(q.Method, q.Path) {
		h.refuse(x, nil, problem.New(http.StatusForbidden, problem.Forbidden, fromElsewhere))
		return
	}
	v := &visit{Visitor: visitor.New(q.Header, browser(q, client))}
	if ours && endpoints.Hosted(q.Method, q.Path) {
		h.serveHosted(x, client, v)
		return
	}
	if ours {
		v.Origin = client.Proto + "://" + client.Host
		if h.reserve(x, v, h.known(v)) {
			x.ServeNetHTTP(h.endpoints.Handler(&v.Visitor), endpoints.MaxBody)
		}
		return
	}
	if h.maxBody > 0 {
		if err := x.LimitBody(h.maxBody); err != nil {
			x.SetReason(http1.ReasonBodyTooLarge)
			h.refuse(x, nil, unread(http.StatusRequestEntityTooLarge))
			return
		}
	}
	target, prefix, ok := r.Stripped(q.Target, q.Path)
	if !ok {
		h.refuse(x, nil, problem.New(http.StatusNotFound, problem.NotFound, nothingHere))
		return
	}
	if !h.admit(x, r, v) || !h.reserve(x, v, v.Session.SessionID) || !h.release(x, v) {
		return
	}
	h.forward(x, r, upstream, v, forward.RequestEdit{Target: target, Prefix: prefix, Client: client})
}

// browser describes the client that sent q.
func browser(q *http1.Request, client forward.Client) authclient.Browser {
	return authclient.Browser{UserAgent: q.Header.Get("User-Agent"), Address: client.IP}
}

// admit identifies the visitor and applies r's policy. It has responded if it returns
// false.
func (h *handler) admit(x *http1.Exchange, r *route.Route, v *visit) bool {
	if err := h.identify(exchange{x}, r, v); err != nil {
		h.fail(x, err)
		return false
	}
	return h.may(x, r, v)
}

// may applies r's policy. It has responded if it returns false.
func (h *handler) may(x *http1.Exchange, r *route.Route, v *visit) bool {
	d := h.judge(&x.Request, r, v, x.Start())
	switch {
	case d == nil:
		return true
	case d.to != "":
		h.goTo(x, v, d.to)
	case d.late && h.keepForm(x, v, d.problem):
	default:
		h.refuse(x, v.SetCookies, d.problem)
	}
	return false
}

// forward sends x to its upstream. If the upstream answers 401 to a safe request,
// the access token may no longer be valid: the request is sent once more with a new
// one, or without one if the session has ended and r admits strangers.
func (h *handler) forward(x *http1.Exchange, r *route.Route, up *forward.Upstream, v *visit, edit forward.RequestEdit) {
	if v.SignedIn() {
		x.Tie(v.Session.SessionID, v.Session.End)
	}
	if !h.addCredentials(x, r, v, &edit) {
		return
	}
	res, err := up.Send(x, edit)
	if err == nil && res.Status() == http.StatusUnauthorized && edit.Authorization != "" && !v.passed && x.Request.Safe() && h.renew(x, v) {
		res.Discard()
		if v.Ended && !h.may(x, r, v) || !h.addCredentials(x, r, v, &edit) {
			return
		}
		res, err = up.Send(x, edit)
		if err == nil && res.Status() == http.StatusUnauthorized && v.SignedIn() {
			h.sessions.Refused(v.Session.Cookie, v.Session.Authorization)
		}
	}
	if v.form != nil {
		h.settleForm(x, v, res, err)
	}
	if err != nil {
		h.failUpstream(x, v, err)
		return
	}
	// The access log has the error: the exchange records it.
	_ = res.Relay(responseEdit(res.Header(), v, time.Since(x.Start())))
}

// addCredentials adds to edit what r's upstream gets to know about v. It has responded
// if it returns false.
func (h *handler) addCredentials(x *http1.Exchange, r *route.Route, v *visit, edit *forward.RequestEdit) bool {
	before := v.SignedIn()
	made, err := h.credentials(exchange{x}, &x.Request, r, v)
	if err != nil {
		h.fail(x, err)
		return false
	}
	if before && v.Ended { // which was not known yet
		x.Tie("", time.Time{})
		if !h.may(x, r, v) {
			return false
		}
	}
	edit.Authorization, edit.Fields, edit.Known = made.authorization, made.fields, v.SignedIn()
	if v.hosted {
		edit.Fields = append(edit.Fields, http1.Field{Name: look.Header, Value: h.routing.look().Site().Encode()})
	}
	return true
}

// reserve reserves the memory that x needs, on account of a session. It has responded
// if it returns false. On a public route, which looks up no session, v's is looked
// up only if there is no memory left for strangers.
func (h *handler) reserve(x *http1.Exchange, v *visit, session string) bool {
	err := x.Reserve(session)
	if err != nil && session == "" {
		if session = h.known(v); session != "" {
			err = x.Reserve(session)
		}
	}
	if err != nil {
		h.failOverload(x, err)
	}
	return err == nil
}

// known returns the ID of v's session if that is in memory, or "".
func (h *handler) known(v *visit) string {
	if v.Token != "" && h.sessions.Knows(v.Token) {
		return api.SessionIDOf(v.Token)
	}
	return ""
}

// slow registers a long exchange, so that it is aborted when its session ends,
// until done is called. Short exchanges are never registered.
func (h *handler) slow(x http1.Handle, session string, end time.Time) (done func()) {
	done = h.streams.Add(session, x, end)
	if _, revoked := h.feed.Revoked(session); revoked { // since the session was looked up
		x.Abort()
	}
	return done
}

// renew gets v another access token, and reports whether it got one or the session
// has ended.
func (h *handler) renew(x *http1.Exchange, v *visit) bool {
	err := h.visitors.Renew(x.Context(), &v.Visitor)
	if v.Ended {
		x.Tie("", time.Time{})
	}
	return err == nil
}
