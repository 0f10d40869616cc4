package endpoints

import (
	"errors"
	"net/http"
	"slices"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/session"
)

// login is POST /auth/login.
func (e *Endpoints) login(w http.ResponseWriter, r *http.Request, by Caller) error {
	return e.begin(w, r, by, e.Paths.Login, http.StatusOK, func(in input) (authclient.Begun, error) {
		return e.Auth.Login(r.Context(), in.Email, in.Password, by.presenter())
	})
}

// register is POST /auth/register: it signs in at once.
func (e *Endpoints) register(w http.ResponseWriter, r *http.Request, by Caller) error {
	return e.begin(w, r, by, e.Paths.Register, http.StatusCreated, func(in input) (authclient.Begun, error) {
		return e.Auth.Register(r.Context(), in.Email, in.Name, in.Password, by.presenter())
	})
}

// presenter is by, with the sessions that make it a known device.
func (by Caller) presenter() authclient.Presenter {
	p := by.By
	if by.State == cookie.One {
		p.Sessions = append(p.Sessions, by.Cookie)
	}
	p.Sessions = append(p.Sessions, by.Known...)
	return p
}

// begin starts a session with what ask gets for the input: 303 to a safe next
// for a form, a description with status for JSON. A form that fails goes back
// to the page at path.
func (e *Endpoints) begin(w http.ResponseWriter, r *http.Request, by Caller, path string, status int,
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
	known := begun.Others
	if !e.replace(r, by) {
		known = slices.DeleteFunc(known, func(token string) bool { return token == by.Cookie })
	}
	tokens := begun.Tokens
	e.Sessions.Begin(tokens)
	w.Header().Set("Set-Cookie", cookie.Set(tokens.RefreshToken, tokens.End, e.Now()))
	if !slices.Equal(known, by.Known) {
		w.Header().Add("Set-Cookie", cookie.SetKnown(known))
	}
	if by.Former != "" && in.Next != redirect.KeptForm {
		w.Header().Add("Set-Cookie", cookie.ClearFormer())
	}
	if in.json {
		return writeJSON(w, status, describe(begun.User, tokens.SessionID, tokens.End))
	}
	next := in.Next
	if next == "" {
		next = e.Paths.Home
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// replace ends the session that the browser had before, so that a cookie from
// before a login is never good after it, and reports whether that is certain.
// The new session stands whether or not that works: the old cookie is
// overwritten, and its session ends idle.
func (e *Endpoints) replace(r *http.Request, by Caller) bool {
	if by.State != cookie.One {
		return true
	}
	err := e.Auth.Revoke(r.Context(), by.Cookie)
	if err != nil {
		e.Log.WarnContext(r.Context(), "the session before this login could not be ended", "error", err)
	}
	e.Sessions.Forget(by.Cookie)
	return err == nil
}

// session is GET /auth/session: who is signed in.
func (e *Endpoints) session(w http.ResponseWriter, r *http.Request, by Caller) error {
	view, user, err := e.user(w, r, by)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, describe(user, view.SessionID, view.End))
}

// signedIn returns the session of by, and tells the browser what has become of
// its cookie. It fails with notSignedIn's problem, or because nobody knows.
func (e *Endpoints) signedIn(w http.ResponseWriter, r *http.Request, by Caller) (session.View, error) {
	if by.State != cookie.One {
		if by.State == cookie.Unusable {
			e.Ended(api.EndUnusable)
			w.Header().Set("Set-Cookie", cookie.Clear())
		}
		return session.View{}, notSignedIn()
	}
	view, err := e.Sessions.Get(r.Context(), by.Cookie, by.By)
	return view, e.tell(w, by, view, err)
}

// user is signedIn, with the account. When the auth service refuses the token,
// the session may have ended before the feed could tell: it is asked for another.
func (e *Endpoints) user(w http.ResponseWriter, r *http.Request, by Caller) (session.View, api.User, error) {
	view, err := e.signedIn(w, r, by)
	if err != nil {
		return view, api.User{}, err
	}
	user, err := e.Auth.Me(r.Context(), view.Authorization)
	if status, ok := errors.AsType[*authclient.StatusError](err); !ok || status.Status != http.StatusUnauthorized {
		return view, user, err
	}
	again, renewing := e.Sessions.Renew(r.Context(), by.Cookie, by.By, view.Authorization)
	if errors.Is(renewing, session.ErrRefused) {
		return view, user, err
	}
	if err := e.tell(w, by, again, renewing); err != nil {
		return again, user, err
	}
	user, err = e.Auth.Me(r.Context(), again.Authorization)
	return again, user, err
}

// tell tells the browser what has become of its cookie, by what the session
// cache says of it.
func (e *Endpoints) tell(w http.ResponseWriter, by Caller, view session.View, err error) error {
	if end, ok := errors.AsType[*authclient.EndedError](err); ok {
		e.Ended(end.Reason)
		w.Header().Del("Set-Cookie")
		for _, value := range cookie.End(by.Cookie, by.Known) {
			w.Header().Add("Set-Cookie", value)
		}
		return notSignedIn()
	}
	if err == nil && view.Cookie != by.Cookie {
		w.Header().Set("Set-Cookie", cookie.Set(view.Cookie, view.End, e.Now()))
	}
	return err
}

func notSignedIn() *problem.Problem {
	return problem.New(http.StatusUnauthorized, problem.Unauthorized, "Nobody is signed in.")
}
