package app

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/revocation"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/form"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/stream"
)

// handler is the way of one request: what is this path, was it meant, who is
// it, may they, forward.
type handler struct {
	routing   *routing
	sessions  *session.Cache
	forwarder *forward.Forwarder
	endpoints *endpoints.Endpoints
	forms     *form.Keeper
	pages     *page.Pages
	loginPath string
	log       *slog.Logger
	accessLog string
	logOneOf  int   // with accessLog sampled
	maxBody   int64 // of a request, 0 for any size
	metrics   *instruments
	streams   *stream.Registry[http1.Handle]
	feed      *revocation.Follower
}

// visitor is who a request comes from.
type visitor struct {
	by     authclient.Presenter
	cookie string
	header http1.Header // that the cookie was in
	view   session.View // empty for a stranger
	// ended: the cookie's session is over.
	ended bool
	// form is the kept form that is sent in the place of the visitor's own request.
	form *form.Claim
	// setCookies is what the browser is to be told.
	setCookies []string
	// origin is where the application's pages are, for a proxy that asks in the
	// visitor's name; "" for the visitor's own request.
	origin string
}

func (v *visitor) signedIn() bool { return v.view.Authorization != "" }

func (h *handler) handle(x *http1.Exchange) {
	q := &x.Request
	ours := strings.HasPrefix(q.Path, endpoints.Prefix)
	r, upstream := h.routing.match(q.Method, q.Path)
	if r == nil && !ours {
		h.refuse(x, nil, problem.New(http.StatusNotFound, problem.NotFound, nothingHere))
		return
	}
	client := h.forwarder.Client(x)
	if !meant(q, client) {
		h.refuse(x, nil, problem.New(http.StatusForbidden, problem.Forbidden, fromElsewhere))
		return
	}
	by := authclient.Presenter{UserAgent: q.Header.Get("User-Agent"), Address: client.IP}
	if ours {
		h.own(x, by)
		return
	}
	if h.maxBody > 0 {
		if err := x.LimitBody(h.maxBody); err != nil {
			x.Fail(http1.ReasonBodyTooLarge)
			h.refuse(x, nil, unread(http.StatusRequestEntityTooLarge))
			return
		}
	}
	v := visitor{by: by}
	if !h.admit(x, r, &v) || !h.reserve(x, v.view.SessionID) || v.signedIn() && q.Method == http.MethodPost && !h.release(x, &v) {
		return
	}
	h.forward(x, r, upstream, client, &v)
}

const (
	nothingHere   = "There is nothing at this address."
	fromElsewhere = "This request did not come from a page of this site, and was not carried out."
)

// own serves an endpoint of the sidecar itself.
func (h *handler) own(x *http1.Exchange, by authclient.Presenter) {
	caller := endpoints.Caller{By: by, Former: cookie.ReadFormer(x.Request.Header), Known: cookie.ReadKnown(x.Request.Header)}
	caller.Cookie, caller.State = cookie.Read(x.Request.Header)
	if !h.reserve(x, h.known(x)) {
		return
	}
	x.ServeNetHTTP(h.endpoints.Handler(caller), endpoints.MaxBody)
}

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

// admit finds out who sent x, where r asks for that, and lets them pass by r's
// policy. It has answered when it returns false.
func (h *handler) admit(x *http1.Exchange, r *route.Route, v *visitor) bool {
	if r.Policy != route.Public {
		if err := h.identify(x, v); err != nil {
			h.fail(x, err)
			return false
		}
	}
	return h.may(x, r, v)
}

// identify finds out who sent x. A stranger is no error; an outage is.
func (h *handler) identify(x *http1.Exchange, v *visitor) error {
	value, state := cookie.Read(x.Request.Header)
	switch state {
	case cookie.None:
		return nil
	case cookie.Unusable:
		h.metrics.ended(api.EndUnusable)
		v.setCookies = []string{cookie.Clear()}
		return nil
	case cookie.One:
	}
	v.cookie, v.header = value, x.Request.Header
	err := h.accept(v, func() (session.View, error) { return h.sessions.Fresh(value) })
	if !errors.Is(err, session.ErrUnknown) {
		return err
	}
	// A client that leaves while the auth service is asked is noticed: the wait
	// ends with the exchange. How long it may take is the auth client's to say.
	if err := x.Reserve(h.known(x)); err != nil {
		return err
	}
	x.Guard(nil)
	return h.accept(v, func() (session.View, error) { return h.sessions.Get(x.Context(), value, v.by) })
}

// accept takes what the session cache says of v's cookie.
func (h *handler) accept(v *visitor, ask func() (session.View, error)) error {
	view, err := ask()
	if end, ok := errors.AsType[*authclient.EndedError](err); ok {
		h.metrics.ended(end.Reason)
		v.view, v.ended, v.setCookies = session.View{}, true, cookie.End(v.cookie, cookie.ReadKnown(v.header))
		return nil
	}
	if err != nil {
		return err
	}
	v.view = view
	if view.Cookie != v.cookie {
		v.setCookies = []string{cookie.Set(view.Cookie, view.End, time.Now())}
	}
	return nil
}

// may enforces r's policy, and has answered when it returns false.
func (h *handler) may(x *http1.Exchange, r *route.Route, v *visitor) bool {
	who := route.Visitor{SignedIn: v.signedIn(), Roles: v.view.Roles, AuthTime: v.view.AuthTime}
	verdict := r.Judge(who, x.Start())
	if verdict == route.Pass {
		return true
	}
	p := refusal(r, verdict)
	q := &x.Request
	// A fetch is never answered with somebody else's page.
	if page.WantsPage(q.Method, q.Header.Get) {
		switch q.Method {
		case http.MethodGet, http.MethodHead:
			if to := h.pageInstead(r, verdict, p.Code, q.Target); to != "" {
				h.goTo(x, v, to)
				return false
			}
		case http.MethodPost:
			// A proxy that asks has kept the form to itself.
			if verdict != route.Forbid && v.origin == "" && h.keepForm(x, v, p) {
				return false
			}
		}
	}
	h.refuse(x, v.setCookies, p)
	return false
}

// goTo has the browser fetch a page of the application.
func (h *handler) goTo(x *http1.Exchange, v *visitor, address string) {
	fields := []http1.Field{{Name: "Location", Value: v.origin + address}, {Name: "Cache-Control", Value: "no-store"}}
	h.respond(x, http.StatusSeeOther, fields, v.setCookies, nil)
}

// pageInstead returns where a browser goes that is not let through to target,
// or "" when it gets the refusal itself.
func (h *handler) pageInstead(r *route.Route, verdict route.Verdict, code problem.Code, target string) string {
	switch {
	case verdict == route.SignInAgain: // the account may: nothing is denied to it
		return redirect.ToPage(h.loginPath, target, string(code))
	case r.Deny.Page != "":
		return redirect.ToPage(r.Deny.Page, target, string(code))
	case verdict == route.SignIn: // nothing went wrong, so there is no code
		return redirect.ToPage(h.loginPath, target, "")
	}
	return ""
}

// forward sends x to its upstream. A 401 of the upstream is taken for a token
// that it does not accept any more, and a request that does nothing is sent
// again with another one, once; or without one, if the session has ended and r
// lets strangers pass.
func (h *handler) forward(x *http1.Exchange, r *route.Route, up *forward.Upstream, client forward.Client, v *visitor) {
	if v.signedIn() {
		x.Tie(v.view.SessionID, v.view.End)
	}
	res, err := up.Send(x, forward.RequestEdit{Authorization: v.view.Authorization, Client: client})
	if err == nil && res.Status() == http.StatusUnauthorized && v.signedIn() && x.Request.Safe() && h.renew(x, v) {
		res.Discard()
		if v.ended && !h.may(x, r, v) {
			return
		}
		res, err = up.Send(x, forward.RequestEdit{Authorization: v.view.Authorization, Client: client})
		if err == nil && res.Status() == http.StatusUnauthorized && v.signedIn() {
			h.sessions.Refused(v.view.Cookie, v.view.Authorization)
		}
	}
	if v.form != nil {
		h.settleForm(x, v, res, err)
	}
	if err != nil {
		h.failUpstream(x, v, err)
		return
	}
	// An error here is in the exchange's facts, and so in the access log.
	_ = res.Relay(responseEdit(res.Header(), v, time.Since(x.Start())))
}

// reserve takes the memory that x costs. It has answered when it returns false.
// Where nobody has asked who sent x, as on public routes, that is found out when
// strangers find no room.
func (h *handler) reserve(x *http1.Exchange, session string) bool {
	err := x.Reserve(session)
	if err != nil && session == "" {
		if session = h.known(x); session != "" {
			err = x.Reserve(session)
		}
	}
	if err != nil {
		h.failOverload(x, err)
	}
	return err == nil
}

// known returns the session that x belongs to, or "" if memory knows none.
func (h *handler) known(x *http1.Exchange) string {
	if value, state := cookie.Read(x.Request.Header); state == cookie.One && h.sessions.Knows(value) {
		return session.FamilyOf(value)
	}
	return ""
}

// slow has an exchange that takes long ended with the session that it is tied
// to, until what it returns is called. The common one never comes here.
func (h *handler) slow(x http1.Handle, session string, end time.Time) (done func()) {
	done = h.streams.Add(session, x, end)
	if _, revoked := h.feed.Revoked(session); revoked { // between the look at the session and now
		x.Abort()
	}
	return done
}

// renew gets v another access token.
func (h *handler) renew(x *http1.Exchange, v *visitor) bool {
	refused := v.view.Authorization
	err := h.accept(v, func() (session.View, error) { return h.sessions.Renew(x.Context(), v.cookie, v.by, refused) })
	if v.ended {
		x.Tie("", time.Time{})
	}
	return err == nil
}

// tellWithin is how long after a request came its answer may still tell of the
// cookie. A browser keeps what it is told last: told by a slow answer of what
// was true long ago, it would go back to a cookie that other answers have
// replaced twice since, which is a thief's doing, or lose that of a new login
// (R8). What is not told is a lost response: the next answer tells it. It is as
// long as a generation lives at least (the auth service's minimum rotation
// interval), so that no two can follow meanwhile.
const tellWithin = 5 * time.Second

// responseEdit is what an answer to v gets, when that has taken so long: the
// cookie that the browser should have, and no place in a cache unless the
// application says so itself.
func responseEdit(header http1.Header, v *visitor, took time.Duration) forward.ResponseEdit {
	var edit forward.ResponseEdit
	control := strings.ToLower(header.Get("Cache-Control"))
	if !shared(control) && took <= tellWithin {
		edit.SetCookie = v.setCookies
	}
	switch {
	case control == "" && (v.signedIn() || edit.SetCookie != nil):
		edit.CacheControl = "no-store"
	case edit.SetCookie != nil && !strings.Contains(control, "private") && !strings.Contains(control, "no-store"):
		edit.CacheControl = "private, " + control
	}
	return edit
}

// shared reports whether a shared cache may keep an answer with this
// Cache-Control without asking (RFC 9111 section 3): a cookie in it would
// reach other people.
func shared(control string) bool {
	if strings.Contains(control, "no-store") || strings.Contains(control, "private") {
		return false
	}
	for directive := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "public", "s-maxage", "immutable":
			return true
		case "max-age":
			if strings.Trim(value, `"0`) != "" {
				return true
			}
		}
	}
	return false
}
