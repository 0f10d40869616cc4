// Package pages renders the pages that come with the product, under /auth/: sign in, register, sign
// out, account. The sidecar forwards requests for them like those for an application: with the
// access token of the visitor, without a cookie, and with the brand of the application. See
// docs/adr/0022.
//
// The forms to sign in, register and sign out post to the sidecar, which answers POST at the same
// addresses. Those of the account page post here, on behalf of the user of the access token.
//
// No page needs JavaScript. The login page never redirects a visitor who is signed in, so that it
// is no part of a redirect loop, whatever the policy and the application do.
package pages

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/look"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/router"
	"lilypad.example/services/pkg/selfservice"
)

// Prefix is the path prefix of all pages.
const Prefix = "/auth/"

// The addresses of the pages, and of the endpoints of the sidecar that share them.
const (
	loginPath    = Prefix + "login"
	registerPath = Prefix + "register"
	logoutPath   = Prefix + "logout"
	accountPath  = Prefix + "account"
)

// maxBody is the maximum size of a request body in bytes. The largest form has two passwords.
const maxBody = 8 << 10

// A Provider is an identity provider to sign in with.
type Provider struct {
	ID, Name string
	// Down reports that it does not answer at the moment.
	Down bool
}

// Methods are the ways to sign in that are switched on. They may change at any time.
type Methods interface {
	Passwords() bool
	Registration() bool
	// Providers returns the identity providers in the order of their buttons.
	Providers() []Provider
}

// Config holds what the pages need.
type Config struct {
	Methods Methods
	Account selfservice.Service
	// Alive fails unless the session of the context's principal is active.
	Alive func(context.Context) error
	// Problem returns what a visitor sees of an error.
	Problem func(error) *problem.Problem
	// Ready fails while the service does not work yet.
	Ready    func() error
	Verifier *authn.Verifier
	Now      func() time.Time
	Log      *slog.Logger
}

type pages struct {
	Config

	login, register, logout, account, failure *template.Template
}

//go:embed *.gohtml
var files embed.FS

// New returns the handler of all paths under Prefix.
func New(c Config) (http.Handler, error) {
	p := &pages{Config: c}
	for name, page := range map[string]**template.Template{
		"login": &p.login, "register": &p.register, "logout": &p.logout, "account": &p.account, "failure": &p.failure,
	} {
		t, err := look.Template(nil).ParseFS(selfservice.Templates, "*.gohtml")
		if err == nil {
			t, err = t.ParseFS(files, "menu.gohtml", name+".gohtml")
		}
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		*page = t
	}
	return httpmw.Chain(p.routes(),
		httpmw.RequestID,
		httpmw.AccessLog(c.Log),
		httpmw.Recover(c.Log),
		httpmw.SecurityHeaders("default-src 'none'; frame-ancestors 'none'"), // render replaces it
		httpmw.LimitBody(maxBody),
		p.gate,
		c.Verifier.Optional(p.refuse),
	), nil
}

func (p *pages) routes() http.Handler {
	read := []string{http.MethodGet, http.MethodHead}
	r := router.New()
	r.Match(read, loginPath, p.handle(p.showLogin))
	r.Match(read, registerPath, p.handle(p.showRegister))
	r.Match(read, logoutPath, p.handle(p.showLogout))
	a := &selfservice.Account{
		Path: accountPath, Service: p.Account, Problem: p.Problem, Now: p.Now, Log: p.Log,
		Render: func(c *gin.Context, status int, v selfservice.View) error {
			return p.render(c.Writer, c.Request, p.account, status, view{Title: "Account", Content: accountView{v, p.Methods.Providers()}})
		},
	}
	a.Mount(r.Group("/", p.signedIn), p.handle)
	r.NoRoute(p.handle(func(*gin.Context) error {
		return problem.New(http.StatusNotFound, problem.NotFound, "There is nothing at this address.")
	}))
	r.NoMethod(p.handle(func(*gin.Context) error {
		return problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed, "This address does not take that method.")
	}))
	return r
}

// gate answers 503 while the service is not ready.
func (p *pages) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.Ready() != nil {
			p.refuse(w, r, problem.New(http.StatusServiceUnavailable, problem.Unavailable, "This service is starting. Please try again shortly."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// signedIn admits only users with an active session. A stranger who opens a page is sent to the
// login page, which leads back.
func (p *pages) signedIn(c *gin.Context) {
	if _, ok := authn.FromContext(c.Request.Context()); ok {
		if err := p.Alive(c.Request.Context()); err != nil {
			c.Abort()
			p.fail(c.Writer, c.Request, err)
		}
		return
	}
	c.Abort()
	if c.Request.Method == http.MethodGet && wantsPage(c.Request) {
		c.Redirect(http.StatusSeeOther, withNext(loginPath, c.Request.URL.Path))
		return
	}
	refusal := problem.New(http.StatusUnauthorized, problem.Unauthorized, "Sign in to go on.")
	refusal.Challenge = "Bearer"
	p.refuse(c.Writer, c.Request, refusal)
}

// handle adapts a handler that returns an error.
func (p *pages) handle(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			p.fail(c.Writer, c.Request, err)
		}
	}
}

// fail responds with err, and logs it if it is a server error.
func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	refusal := p.Problem(err)
	if refusal.Status >= http.StatusInternalServerError && !httpmw.LogError(p.Log, w, r, err) {
		return
	}
	p.refuse(w, r, refusal)
}

// refuse responds with a problem: with a page to a browser, with a document to a program.
func (p *pages) refuse(w http.ResponseWriter, r *http.Request, refusal *problem.Problem) {
	if !wantsPage(r) {
		problem.Write(w, refusal)
		return
	}
	refusal.SetHeader(w.Header())
	content := failed{Status: refusal.Status, Detail: refusal.Detail}
	if refusal.Status == http.StatusUnauthorized {
		content.Login = loginPath
	}
	err := p.render(w, r, p.failure, refusal.Status, view{Title: http.StatusText(refusal.Status), Content: content})
	if err != nil {
		p.Log.ErrorContext(r.Context(), "error page", "error", err)
		problem.Write(w, problem.From(nil))
	}
}

// failed is the content of the page of a refusal.
type failed struct {
	Status int
	Detail string
	Login  string
}

// wantsPage reports whether the client is a browser: browsers accept text/html when they navigate.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// view is the data of a page.
type view struct {
	look.Frame // render sets it

	Title    string
	SignedIn bool
	Content  any
}

// render responds with a page. It is rendered completely before the first byte is sent, so that an
// error of the template becomes a 500.
func (p *pages) render(w http.ResponseWriter, r *http.Request, t *template.Template, status int, v view) error {
	site, err := look.DecodeSite(r.Header.Get(look.Header))
	if err != nil { // not of our sidecar, which checks it
		p.Log.WarnContext(r.Context(), "brand ignored", "error", err)
	}
	l := look.New(site)
	v.Frame = l.Frame(v.Title)
	_, v.SignedIn = authn.FromContext(r.Context())
	var body bytes.Buffer
	if err := t.Execute(&body, v); err != nil {
		return fmt.Errorf("render %s: %w", v.Title, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// Browsers apply form-action to redirects, too. After a sign-in the sidecar redirects to a page
	// of the application, which may redirect to another site.
	h.Set("Content-Security-Policy", l.CSP("'self' https:"))
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client may have disconnected
	return nil
}

// withNext returns path with next as a parameter, unless next is "".
func withNext(path, next string) string {
	if next == "" {
		return path
	}
	return path + "?" + url.Values{"next": {next}}.Encode()
}
