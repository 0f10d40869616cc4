// Package visitor answers who a request is from: it reads the cookies, asks the
// session cache, and collects the Set-Cookie values that the browser needs.
package visitor

import (
	"context"
	"errors"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/session"
)

// A Visitor is the sender of one request.
type Visitor struct {
	Browser authclient.Browser
	// Origin is where the browser finds the application's pages: scheme and host.
	Origin string
	// State says what the session cookie is, and Token is its value, a refresh
	// token; "" unless State is cookie.One.
	State cookie.State
	Token string
	// Session is the visitor's session; zero before it was looked up, and for a
	// visitor without one.
	Session session.View
	// Ended reports that the session of Token is over.
	Ended bool
	// SetCookies are the Set-Cookie values that the browser needs.
	SetCookies []string

	header http1.Header
}

// New returns the sender of a request with header h, not yet looked up.
func New(h http1.Header, b authclient.Browser) Visitor {
	v := Visitor{Browser: b, header: h}
	v.Token, v.State = cookie.Read(h)
	return v
}

// SignedIn reports whether the visitor has a session.
func (v *Visitor) SignedIn() bool { return v.Session.Authorization != "" }

// Former returns the refresh token of the browser's former session, or "".
func (v *Visitor) Former() string { return cookie.ReadFormer(v.header) }

// Known returns the refresh tokens of ended sessions that make the browser a
// known device, the newest first.
func (v *Visitor) Known() []string { return cookie.ReadKnown(v.header) }

// Flow returns the value that binds sign-ins with an identity provider to this browser,
// or "".
func (v *Visitor) Flow() string { return cookie.ReadFlow(v.header) }

// A Finder looks visitors up.
type Finder struct {
	sessions *session.Cache
	ended    func(api.EndReason)
}

// NewFinder returns a Finder. ended is called with the reason for every cookie
// that is taken from a browser.
func NewFinder(sessions *session.Cache, ended func(api.EndReason)) *Finder {
	return &Finder{sessions, ended}
}

// FromMemory is Find without a call to the auth service. It fails with
// session.ErrUnknown where Find would make one.
func (f *Finder) FromMemory(v *Visitor) error {
	if f.stranger(v) {
		return nil
	}
	view, err := f.sessions.Fresh(v.Token)
	return f.accept(v, view, err)
}

// Find looks up v's session. A visitor without a session is not an error. The errors
// are those of session.Cache.Get, except that of an ended session, which sets v.Ended.
func (f *Finder) Find(ctx context.Context, v *Visitor) error {
	if f.stranger(v) {
		return nil
	}
	view, err := f.sessions.Get(ctx, v.Token, v.Browser)
	return f.accept(v, view, err)
}

// Renew gets v another access token in place of one that was refused. It fails as
// Find does, and with session.ErrRefused if another token was refused before.
func (f *Finder) Renew(ctx context.Context, v *Visitor) error {
	view, err := f.sessions.Renew(ctx, v.Token, v.Browser, v.Session.Authorization)
	return f.accept(v, view, err)
}

// stranger reports whether v has no usable cookie, and clears an unusable one.
func (f *Finder) stranger(v *Visitor) bool {
	if v.State == cookie.Unusable {
		f.ended(api.EndUnusable)
		v.SetCookies = []string{cookie.Clear()}
	}
	return v.State != cookie.One
}

// accept takes over the session cache's answer for v's cookie.
func (f *Finder) accept(v *Visitor, view session.View, err error) error {
	if end, ok := errors.AsType[*authclient.EndedError](err); ok {
		f.ended(end.Reason)
		v.Session, v.Ended, v.SetCookies = session.View{}, true, cookie.End(v.Token, v.Known())
		return nil
	}
	if err != nil {
		return err
	}
	v.Session = view
	if view.Cookie != v.Token {
		v.SetCookies = []string{cookie.Set(view.Cookie, view.End, time.Now())}
	}
	return nil
}
