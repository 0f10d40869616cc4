package endpoints

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/visitor"
)

// login serves POST /auth/login.
func (e *Endpoints) login(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	return e.begin(w, r, v, e.Paths.Login, http.StatusOK, func(in input) (authclient.Begun, error) {
		return e.Auth.Login(r.Context(), in.Email, in.Password, device(v))
	})
}

// register serves POST /auth/register. The new user is signed in.
func (e *Endpoints) register(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	return e.begin(w, r, v, e.Paths.Register, http.StatusCreated, func(in input) (authclient.Begun, error) {
		return e.Auth.Register(r.Context(), in.Email, in.Name, in.Password, device(v))
	})
}

// device is v's browser with the sessions that make it a known device.
func device(v *visitor.Visitor) authclient.Browser {
	b := v.Browser
	if v.Token != "" {
		b.Sessions = append(b.Sessions, v.Token)
	}
	b.Sessions = append(b.Sessions, v.Known()...)
	return b
}

// begin reads the input and starts a session with ask. A form gets 303 to next if
// that is safe, or back to the page at path if it failed; JSON gets a description
// with status.
func (e *Endpoints) begin(w http.ResponseWriter, r *http.Request, v *visitor.Visitor, path string, status int,
	ask func(input) (authclient.Begun, error),
) error {
	in, err := read(r)
	if err != nil {
		return err
	}
	in.Next = redirect.Safe(in.Next)
	begun, err := ask(in)
	if err != nil && in.json {
		return err
	}
	if err != nil {
		back(w, r, path, in, e.toProblem(r, err))
		return nil
	}
	e.take(w, r, v, begun, in.Next)
	if in.json {
		return writeJSON(w, status, describe(begun.User, begun.Tokens.SessionID, begun.Tokens.End))
	}
	http.Redirect(w, r, cmp.Or(in.Next, e.Paths.Home), http.StatusSeeOther)
	return nil
}

// take makes a session that has just begun that of v's browser, which goes on to next.
func (e *Endpoints) take(w http.ResponseWriter, r *http.Request, v *visitor.Visitor, begun authclient.Begun, next string) {
	known := begun.Others
	if !e.replace(r, v) {
		known = slices.DeleteFunc(known, func(token string) bool { return token == v.Token })
	}
	tokens := begun.Tokens
	e.Sessions.Begin(tokens)
	w.Header().Set("Set-Cookie", cookie.Set(tokens.RefreshToken, tokens.End, e.Now()))
	if !slices.Equal(known, v.Known()) {
		w.Header().Add("Set-Cookie", cookie.SetKnown(known))
	}
	if v.Former() != "" && next != redirect.KeptForm {
		w.Header().Add("Set-Cookie", cookie.ClearFormer())
	}
}

// replace revokes the browser's previous session, so that its cookie is not valid
// after the login (session fixation), and reports whether the session has ended. The
// new session begins in either case: the old cookie is overwritten, and its session
// times out.
func (e *Endpoints) replace(r *http.Request, v *visitor.Visitor) bool {
	if v.Token == "" {
		return true
	}
	_, err := e.Auth.Revoke(r.Context(), v.Token, "")
	if err != nil {
		e.Log.WarnContext(r.Context(), "previous session could not be revoked", "error", err)
	}
	e.Sessions.Forget(v.Token)
	return err == nil
}

// session serves GET /auth/session: who is signed in.
func (e *Endpoints) session(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	user, err := e.user(w, r, v)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, describe(user, v.Session.SessionID, v.Session.End))
}

// signedIn looks v up with find and sets the resulting Set-Cookie fields. It fails
// with a 401 problem if nobody is signed in, or with find's error.
func (e *Endpoints) signedIn(w http.ResponseWriter, r *http.Request, v *visitor.Visitor,
	find func(context.Context, *visitor.Visitor) error,
) error {
	err := find(r.Context(), v)
	w.Header()["Set-Cookie"] = slices.Clone(v.SetCookies)
	if err == nil && !v.SignedIn() {
		return problem.New(http.StatusUnauthorized, problem.Unauthorized, "Nobody is signed in.")
	}
	return err
}

// user returns the account of v. If the auth service refuses the access token,
// the session may have ended before the feed reported it, so the token is renewed
// once.
func (e *Endpoints) user(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) (api.User, error) {
	if err := e.signedIn(w, r, v, e.Visitors.Find); err != nil {
		return api.User{}, err
	}
	user, err := e.Auth.Me(r.Context(), v.Session.Authorization)
	if status, ok := errors.AsType[*authclient.StatusError](err); !ok || status.Status != http.StatusUnauthorized {
		return user, err
	}
	switch renewing := e.signedIn(w, r, v, e.Visitors.Renew); {
	case errors.Is(renewing, session.ErrRefused):
		return user, err
	case renewing != nil:
		return user, renewing
	}
	return e.Auth.Me(r.Context(), v.Session.Authorization)
}
