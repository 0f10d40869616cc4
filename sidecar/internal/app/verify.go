package app

import (
	"errors"
	"net/http"
	"strings"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/http1"
)

// verifyPath is where a proxy asks about a request of its client: as it is, with
// X-Forwarded-Method and X-Forwarded-Uri (Traefik, Caddy, nginx), or with the
// client's method and its target behind it (Envoy).
const verifyPath = endpoints.Prefix + "verify"

// verify tells a trusted proxy whether its client may pass. 200 brings what the
// application shall get: Authorization for who is signed in, and the Cookie
// field without ours. Any other answer is for the client itself.
//
// It has a port of its own. At the browser's door a page could ask it as well,
// through a proxy that is trusted, and read an access token (R1).
func (h *handler) verify(x *http1.Exchange) {
	if !h.forwarder.Trusts(x) {
		h.refuse(x, nil, problem.New(http.StatusForbidden, problem.Forbidden, "This address answers trusted proxies only."))
		return
	}
	client, asked := h.forwarder.Client(x), x.Request.Method
	if err := takeOver(&x.Request); err != nil {
		h.refuse(x, nil, problem.New(http.StatusBadRequest, problem.BadRequest, "The proxy asks about no request: "+err.Error()+"."))
		return
	}
	q := &x.Request
	r, _ := h.routing.match(q.Method, q.Path)
	if q.Method == http.MethodHead {
		q.Method = asked // which says whether the answer has a body
	}
	if r == nil || strings.HasPrefix(q.Path, endpoints.Prefix) {
		h.refuse(x, nil, problem.New(http.StatusNotFound, problem.NotFound, nothingHere))
		return
	}
	if !meant(q, client) {
		h.refuse(x, nil, problem.New(http.StatusForbidden, problem.Forbidden, fromElsewhere))
		return
	}
	v := visitor{
		by:     authclient.Presenter{UserAgent: q.Header.Get("User-Agent"), Address: client.IP},
		origin: client.Proto + "://" + client.Host,
	}
	if h.admit(x, r, &v) {
		h.letPass(x, &v)
	}
}

// letPass tells the proxy what goes on to the application.
func (h *handler) letPass(x *http1.Exchange, v *visitor) {
	fields := []http1.Field{{Name: "Cache-Control", Value: "no-store"}}
	if v.signedIn() {
		fields = append(fields, http1.Field{Name: "Authorization", Value: v.view.Authorization})
	}
	if others := h.forwarder.Cookies(x.Request.Header); others != "" {
		fields = append(fields, http1.Field{Name: "Cookie", Value: others})
	}
	h.respond(x, http.StatusOK, fields, v.setCookies, nil)
}

var (
	errNoVerify  = errors.New("this port has " + verifyPath + " only")
	errNoGet     = errors.New("ask with GET")
	errNotNamed  = errors.New("X-Forwarded-Method and X-Forwarded-Uri must each be there once")
	errNoRequest = errors.New("no request has that method and target")
)

// takeOver makes q, a proxy's question, the request that it is about, in its
// one reading.
func takeOver(q *http1.Request) error {
	method := q.Method
	target, below := strings.CutPrefix(q.Target, verifyPath)
	switch {
	case below && strings.HasPrefix(target, "/"): // Envoy
	case q.Path != verifyPath:
		return errNoVerify
	case method != http.MethodGet:
		return errNoGet
	default:
		var ok1, ok2 bool
		method, ok1 = single(q.Header, "X-Forwarded-Method")
		target, ok2 = single(q.Header, "X-Forwarded-Uri")
		if !ok1 || !ok2 {
			return errNotNamed
		}
	}
	path, err := http1.ReadTarget(method, target)
	if err != nil {
		return errNoRequest
	}
	q.Method, q.Target, q.Path = method, target, path
	q.RawPath, q.RawQuery, _ = strings.Cut(target, "?")
	return nil
}

// single returns the value of a field that must stand there exactly once.
func single(h http1.Header, name string) (value string, ok bool) {
	for v := range h.Values(name) {
		if ok {
			return "", false
		}
		value, ok = v, true
	}
	return value, ok
}
