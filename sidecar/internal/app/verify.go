package app

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/visitor"
)

// verifyPath is the forward-auth endpoint. A proxy names its client's request with
// X-Forwarded-Method and X-Forwarded-Uri (Traefik, Caddy, nginx), or uses the
// client's method and appends the client's target to the path (Envoy).
const verifyPath = endpoints.Prefix + "verify"

// verify tells a trusted proxy whether its client's request may pass. A 200 carries
// what the proxy must send to the application: Authorization for a signed-in
// user, and Cookie without our cookies. The proxy relays any other response to its
// client.
//
// verify has a port of its own. extAuthz (extauthz.go) is the same for Envoy, over
// gRPC. On the browser port, a page could call it through
// a trusted proxy and read an access token.
func (h *handler) verify(x *http1.Exchange) {
	if !h.forwarder.Trusts(x.Remote().Addr()) {
		h.refuse(x, nil, problem.New(http.StatusForbidden, problem.Forbidden, "This address answers trusted proxies only."))
		return
	}
	client, asked := h.forwarder.Client(x), x.Request.Method
	if err := takeOver(&x.Request); err != nil {
		h.refuse(x, nil, malformed(err))
		return
	}
	a, err := h.ask(exchange{x}, &x.Request, client, x.Start())
	if asked == http.MethodHead || x.Request.Method == http.MethodHead {
		x.Request.Method = asked // decides whether the response has a body
	}
	switch {
	case err != nil:
		h.fail(x, err)
	case a.pass:
		h.respond(x, http.StatusOK, append(a.header, http1.Field{Name: "Cache-Control", Value: "no-store"}), a.setCookies, nil)
	default:
		h.respond(x, a.status, a.header, a.setCookies, a.body)
	}
}

// An answer tells a proxy what to do with its client's request.
type answer struct {
	pass bool
	// header has the fields that the application gets if the request may pass, and
	// those of the response to the client otherwise.
	header http1.Header
	// strip names the client's fields that the application must not get. Those that
	// are in header are replaced, the others removed.
	strip []string
	// setCookies are for the client in either case.
	setCookies []string
	status     int // of the response to the client, unless pass
	body       []byte
	reason     http1.Reason // why no decision was made
}

// ask decides on a request of a proxy's client. It fails with an error of identify.
func (h *handler) ask(c caller, q *http1.Request, client forward.Client, now time.Time) (answer, error) {
	r, _ := h.routing.match(q.Method, q.Path)
	if r == nil || strings.HasPrefix(q.Path, endpoints.Prefix) {
		return h.turnAway(q, nil, problem.New(http.StatusNotFound, problem.NotFound, nothingHere)), nil
	}
	if !mayWrite(q, client, r) {
		return h.turnAway(q, nil, problem.New(http.StatusForbidden, problem.Forbidden, fromElsewhere)), nil
	}
	v := &visit{Visitor: visitor.New(q.Header, browser(q, client))}
	if err := h.identify(c, r, v); err != nil {
		return answer{}, err
	}
	var made credentials
	d := h.judge(q, r, v, now)
	if d == nil {
		var err error
		if made, err = h.credentials(c, q, r, v); err != nil {
			return answer{}, err
		}
		d = h.judge(q, r, v, now) // again, because the session may have turned out to be over
	}
	switch {
	case d == nil:
		return h.letPass(q, r, v, made), nil
	case d.to != "":
		// Absolute, because Traefik resolves a relative one against the sidecar.
		origin := client.Proto + "://" + client.Host
		return answer{status: http.StatusSeeOther, header: location(origin + d.to), setCookies: v.SetCookies}, nil
	}
	// A form is refused: a proxy's question has no body to keep.
	return h.turnAway(q, v.SetCookies, d.problem), nil
}

// turnAway returns the answer for a request that does not pass because of p.
func (h *handler) turnAway(q *http1.Request, setCookies []string, p *problem.Problem) answer {
	header, body := h.render(q, p)
	return answer{status: p.Status, header: header, setCookies: setCookies, body: body}
}

// malformed is the problem for a question that is not understood.
func malformed(err error) *problem.Problem {
	return problem.New(http.StatusBadRequest, problem.BadRequest, "The proxy's question is malformed: "+err.Error()+".")
}

// letPass returns the answer for v's request, which may pass.
func (h *handler) letPass(q *http1.Request, r *route.Route, v *visit, made credentials) answer {
	a := answer{pass: true, header: made.fields, setCookies: v.SetCookies, strip: []string{"Authorization", "Cookie"}}
	for _, f := range r.To().Fields() {
		a.strip = append(a.strip, f.Name)
	}
	if made.authorization != "" {
		a.header.Add("Authorization", made.authorization)
	}
	if others := h.forwarder.Cookies(q.Header); others != "" {
		a.header.Add("Cookie", others)
	}
	return a
}

var (
	errNoVerify  = errors.New("this port serves " + verifyPath + " only")
	errNoGet     = errors.New("the method must be GET or HEAD")
	errNotNamed  = errors.New("X-Forwarded-Method and X-Forwarded-Uri are each required once")
	errRepeated  = errors.New("X-Forwarded-Host and X-Forwarded-Proto must not be repeated")
	errTwice     = errors.New("its path and its header name different requests")
	errNoRequest = errors.New("no request has that method and target")
)

// takeOver replaces the proxy's question in q by the request that it is about.
func takeOver(q *http1.Request) error {
	method, ok1 := single(q.Header, "X-Forwarded-Method")
	target, ok2 := single(q.Header, "X-Forwarded-Uri")
	switch {
	case count(q.Header, "X-Forwarded-Host") > 1 || count(q.Header, "X-Forwarded-Proto") > 1:
		return errRepeated
	case strings.HasPrefix(q.RawPath, verifyPath+"/"): // Envoy
		behind := strings.TrimPrefix(q.Target, verifyPath)
		same := ok1 && ok2 && method == q.Method && target == behind
		if names(q.Header) && !same {
			return errTwice
		}
		method, target = q.Method, behind
	case q.RawPath != verifyPath:
		return errNoVerify
	case q.Method != http.MethodGet && q.Method != http.MethodHead:
		return errNoGet
	case !ok1 || !ok2:
		return errNotNamed
	}
	return name(q, method, target)
}

// name makes q a request with this method and target.
func name(q *http1.Request, method, target string) error {
	path, err := http1.ReadTarget(method, target)
	if err != nil || !registered(method) {
		return errNoRequest
	}
	q.Method, q.Target, q.Path = method, target, path
	q.RawPath, q.RawQuery, _ = strings.Cut(target, "?")
	return nil
}

// names reports whether a header names the client's request, in our fields or in
// those of ingress-nginx. A proxy that is configured with verifyPath and a trailing
// slash would seem to ask about "/" by its path.
func names(h http1.Header) bool {
	return slices.ContainsFunc([]string{"X-Forwarded-Method", "X-Forwarded-Uri", "X-Original-Method", "X-Original-Url", "X-Original-Uri"},
		func(name string) bool { return count(h, name) > 0 })
}

// registered reports whether method is in the IANA registry of HTTP methods and
// targets a resource. Servers differ on how they treat others.
func registered(method string) bool {
	switch method {
	case "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD", "LABEL", "LINK", "LOCK",
		"MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "OPTIONS", "ORDERPATCH",
		"PATCH", "POST", "PROPFIND", "PROPPATCH", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT",
		"UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL":
		return true
	}
	return false
}

// count returns the number of fields with a name.
func count(h http1.Header, name string) (n int) {
	for range h.Values(name) {
		n++
	}
	return n
}

// single returns the value of a field that must occur exactly once.
func single(h http1.Header, name string) (value string, ok bool) {
	return h.Get(name), count(h, name) == 1
}
