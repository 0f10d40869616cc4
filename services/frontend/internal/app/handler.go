package app

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/account"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/pages/gallery"
	"lilypad.example/services/frontend/pages/login"
	"lilypad.example/services/frontend/pages/register"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/router"
)

// maxBody is the maximum size of a request body in bytes. The largest form has two passwords.
const maxBody = 8 << 10

// Dependencies are the dependencies of the pages.
type Dependencies struct {
	Verifier *authn.Verifier
	Users    user.Directory
	Auth     account.Auth
	Frogs    gallery.Frogs
	Now      func() time.Time
	Log      *slog.Logger
}

// Handler returns all pages with their middleware.
func Handler(d Dependencies) (http.Handler, error) {
	assets, err := static.Load()
	if err != nil {
		return nil, err
	}
	failures, err := failure.New(assets, d.Log)
	if err != nil {
		return nil, err
	}
	r := router.New()
	if err := mount(r, d, assets, failures); err != nil {
		return nil, err
	}
	return httpmw.Chain(r,
		httpmw.RequestID,
		httpmw.AccessLog(d.Log),
		httpmw.Recover(d.Log),
		httpmw.SecurityHeaders(httpmw.PageCSP),
		httpmw.LimitBody(maxBody),
		// An invalid token is rejected and never treated as no token: the sidecar refreshes it and
		// retries.
		d.Verifier.Optional(failures.Refuse),
	), nil
}

// mount registers all routes.
func mount(r *gin.Engine, d Dependencies, assets *static.Assets, failures *failure.Failures) error {
	frogs, err := gallery.New(assets, d.Frogs, d.Now, d.Log)
	if err != nil {
		return err
	}
	signIn, err := login.New(assets)
	if err != nil {
		return err
	}
	signUp, err := register.New(assets)
	if err != nil {
		return err
	}
	profile, err := account.New(assets, d.Auth, d.Now, d.Log)
	if err != nil {
		return err
	}
	read := []string{http.MethodGet, http.MethodHead}
	r.Use(failures.Recover)
	r.Match(read, static.Prefix+"*file", failures.Handler(func(c *gin.Context) error {
		if !assets.Serve(c.Writer, c.Request) {
			return failure.NotFound()
		}
		return nil
	}))
	r.Use(failures.Handler(d.loadUser))
	r.Match(read, "/", failures.Handler(frogs.Show))
	r.Match(read, "/frogs", failures.Handler(frogs.Show))
	r.POST("/frogs/:id/pet", failures.Handler(frogs.Pet))
	r.Match(read, "/login", failures.Handler(signIn.Show))
	r.Match(read, "/register", failures.Handler(signUp.Show))
	profile.Mount(r, failures.Handler)
	r.NoRoute(failures.Handler(func(*gin.Context) error { return failure.NotFound() }))
	r.NoMethod(failures.Handler(func(*gin.Context) error { return failure.MethodNotAllowed() }))
	return nil
}

// loadUser stores the user in the request's context.
func (d Dependencies) loadUser(c *gin.Context) error {
	ctx, err := d.Users.Load(c.Request.Context())
	if err != nil {
		return err
	}
	c.Request = c.Request.WithContext(ctx)
	return nil
}
