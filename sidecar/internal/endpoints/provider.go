package endpoints

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/keptform"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/visitor"
)

const (
	callbackPath = Prefix + "callback/"
	initiatePath = Prefix + "initiate"

	// maxQuery is the maximum length of what a provider sends back, in bytes.
	maxQuery = 16 << 10
	// The maximum lengths of what a third party says when it initiates a login, in bytes.
	maxIssuer, maxLoginHint, maxInitiate = 500, 320, 4 << 10
)

// isProvider reports whether id can be the ID of an identity provider in the
// configuration of the auth service.
func isProvider(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// providerOf returns the provider in the path of a request.
func providerOf(r *http.Request) string {
	return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
}

// loginAt serves GET /auth/login/{provider}: it sends the browser to an identity
// provider to sign in. What the route of next asks for is asked of the provider.
func (e *Endpoints) loginAt(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	q := r.URL.Query()
	a := authclient.Authorization{Provider: providerOf(r), Next: redirect.Safe(q.Get("next"))}
	if prompt := q.Get("prompt"); prompt == "select_account" || prompt == "login" {
		a.Prompt = prompt
	}
	return e.toProvider(w, r, v, a)
}

// initiate serves GET /auth/initiate: a provider, or another third party, asks for a
// login (OpenID Connect Core 1.0 section 4).
func (e *Endpoints) initiate(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	q := r.URL.Query()
	a := authclient.Authorization{Issuer: q.Get("iss"), LoginHint: q.Get("login_hint"), Next: redirect.Within(v.Origin, q.Get("target_link_uri"))}
	if a.Issuer == "" || len(a.Issuer) > maxIssuer || len(a.LoginHint) > maxLoginHint {
		return problem.New(http.StatusBadRequest, problem.BadRequest, "This address needs the parameter iss, the issuer of an identity provider.")
	}
	return e.toProvider(w, r, v, a)
}

// initiateByForm serves POST /auth/initiate, which comes from another site. Browsers
// send no cookie with it, so it goes on as a GET, which has the cookie of sign-ins that
// are under way.
func (e *Endpoints) initiateByForm(w http.ResponseWriter, r *http.Request, _ *visitor.Visitor) error {
	if err := r.ParseForm(); err != nil {
		return problem.New(http.StatusBadRequest, problem.BadRequest, "The form is not encoded correctly.")
	}
	q := make(url.Values)
	for _, name := range []string{"iss", "login_hint", "target_link_uri"} {
		if value := r.PostForm.Get(name); value != "" {
			q.Set(name, value)
		}
	}
	if len(q.Encode()) > maxInitiate {
		return problem.New(http.StatusBadRequest, problem.BadRequest, "The form is longer than is accepted here.")
	}
	http.Redirect(w, r, initiatePath+"?"+q.Encode(), http.StatusSeeOther)
	return nil
}

// connect serves POST /auth/login/{provider}: it connects an identity at the provider
// to the account of the session. It is a POST, so that no other site can make a browser
// connect an identity that is not its user's.
func (e *Endpoints) connect(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	if err := e.signedIn(w, r, v, e.Visitors.Find); err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil || r.PostForm.Get("link") != "true" {
		return problem.New(http.StatusBadRequest, problem.BadRequest, "This address takes a form with link=true.")
	}
	a := authclient.Authorization{Provider: providerOf(r), Next: redirect.Safe(r.PostForm.Get("next")), RefreshToken: v.Session.Cookie, Link: true}
	address, err := e.authorize(w, r, v, a)
	if err == nil {
		e.leave(w, address, "You go on at your identity provider.")
		return nil
	}
	return e.failProvider(w, r, a, err)
}

// toProvider sends the browser to an identity provider.
func (e *Endpoints) toProvider(w http.ResponseWriter, r *http.Request, v *visitor.Visitor, a authclient.Authorization) error {
	if err := e.Visitors.Find(r.Context(), v); err != nil {
		return err
	}
	w.Header()["Set-Cookie"] = slices.Clone(v.SetCookies)
	if err := e.demand(r, v, &a); err != nil {
		return err
	}
	address, err := e.authorize(w, r, v, a)
	if err != nil {
		return e.failProvider(w, r, a, err)
	}
	http.Redirect(w, r, address, http.StatusSeeOther) //nolint:gosec // the auth service says where the provider is
	return nil
}

// authorize begins a sign-in and returns where it goes on. It adds the cookie that binds
// the sign-in to this browser.
func (e *Endpoints) authorize(w http.ResponseWriter, r *http.Request, v *visitor.Visitor, a authclient.Authorization) (string, error) {
	flow := cmp.Or(v.Flow(), cookie.NewFlow())
	a.Binding = binding(flow)
	a.RedirectURI = v.Origin + callbackPath + a.Provider
	address, err := e.Auth.BeginAuthorization(r.Context(), a, device(v))
	if err != nil {
		return "", err
	}
	if address = redirect.Away(address); address == "" {
		return "", errors.New("endpoints: the auth service does not say where the identity provider is")
	}
	w.Header().Add("Set-Cookie", cookie.SetFlow(flow))
	return address, nil
}

// failProvider responds if a sign-in could not begin, or returns the error.
func (e *Endpoints) failProvider(w http.ResponseWriter, r *http.Request, a authclient.Authorization, err error) error {
	p, ok := errors.AsType[*problem.Problem](err)
	switch {
	case ok && p.Code == authclient.UnknownProvider:
		return problem.New(http.StatusNotFound, p.Code, "No such identity provider can be used here.")
	case ok && api.RefusalCode(p.Code).Valid() && page.WantsPage(r.Method, r.Header.Get):
		e.toLogin(w, r, p.Code, a.Provider, a.Next)
		return nil
	}
	return err
}

// binding returns what the auth service gets to know of the flow cookie.
func binding(flow string) string {
	sum := sha256.Sum256([]byte(flow))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// demand adds what the route of a.Next asks for: a recent sign-in, or one of certain
// classes. If it is v's session that does not satisfy the route, the same account must
// come back. The route decides again when the browser arrives there, so a browser that
// leaves next out gains nothing.
func (e *Endpoints) demand(r *http.Request, v *visitor.Visitor, a *authclient.Authorization) error {
	method, target := http.MethodGet, a.Next
	if a.Next == redirect.KeptForm {
		if !v.SignedIn() {
			return nil // nobody can look at the form; its route decides when it is sent
		}
		f, err := e.Forms.Look(r.Context(), v.Session.Authorization, v.Former())
		if errors.Is(err, keptform.ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		method, target = http.MethodPost, f.Target
	}
	target, _, _ = strings.Cut(target, "#")
	path, err := http1.ReadTarget(method, target)
	if err != nil { // there is no next
		return nil //nolint:nilerr // nothing asks for anything
	}
	to := e.Route(method, path)
	if to == nil {
		return nil
	}
	a.MaxAge, a.ACRValues = to.MaxAge(), strings.Join(to.ACR, " ")
	who := route.Visitor{SignedIn: v.SignedIn(), Roles: v.Session.Roles, AuthTime: v.Session.AuthTime, ACR: v.Session.ACR}
	if v.Session.Provider != "" && v.Session.Provider == a.Provider && a.Prompt == "" && to.Judge(who, e.Now()) == route.SignInAgain {
		a.RefreshToken = v.Session.Cookie
	}
	return nil
}

// callback serves GET /auth/callback/{provider}, where a provider sends the browser
// back to.
func (e *Endpoints) callback(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	provider, flow := providerOf(r), v.Flow()
	if len(r.URL.RawQuery) > maxQuery {
		return problem.New(http.StatusRequestURITooLong, problem.BadRequest, "The identity provider's answer is longer than is accepted here.")
	}
	if flow == "" {
		return e.lost(w, r, v, provider)
	}
	done, err := e.Auth.CompleteAuthorization(r.Context(), provider, binding(flow), r.URL.RawQuery, device(v))
	if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == authclient.UnknownAuthorization {
		return e.lost(w, r, v, provider)
	}
	if err != nil {
		return err
	}
	next := redirect.Safe(done.Next)
	if done.Refusal != "" {
		e.toLogin(w, r, done.Refusal, provider, next)
		return nil
	}
	e.take(w, r, v, done.Begun, next)
	http.Redirect(w, r, cmp.Or(next, e.Paths.Home), http.StatusSeeOther)
	return nil
}

// lost responds to a callback of a sign-in that is not under way in this browser: it is
// over, it was begun elsewhere, or never. If the browser has a session, its user is
// where they wanted to be.
func (e *Endpoints) lost(w http.ResponseWriter, r *http.Request, v *visitor.Visitor, provider string) error {
	if err := e.Visitors.Find(r.Context(), v); err != nil {
		return err
	}
	w.Header()["Set-Cookie"] = slices.Clone(v.SetCookies)
	if v.SignedIn() {
		http.Redirect(w, r, e.Paths.Home, http.StatusSeeOther)
		return nil
	}
	e.toLogin(w, r, authclient.UnknownAuthorization, provider, "")
	return nil
}

// toLogin redirects to the login page, which says what went wrong with a provider.
func (e *Endpoints) toLogin(w http.ResponseWriter, r *http.Request, code problem.Code, provider, next string) {
	q := url.Values{"error": {string(code)}}
	if provider != "" {
		q.Set("provider", provider)
	}
	if next != "" {
		q.Set("next", next)
	}
	http.Redirect(w, r, e.Paths.Login+"?"+q.Encode(), http.StatusSeeOther)
}
