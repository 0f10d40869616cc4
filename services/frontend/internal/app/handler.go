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
)

// maxBody bounds what a request may send: the largest form that comes here has
// two passwords (R11).
const maxBody = 8 << 10

// Dependencies are what the pages need from outside.
type Dependencies struct {
	Verifier *authn.Verifier
	Users    user.Directory
	Auth     account.Auth
	Frogs    gallery.Frogs
	Now      func() time.Time
	Log      *slog.Logger
}

// Handler returns all pages, in all their middleware.
func Handler(d Dependencies) (http.Handler, error) {
	assets, err := static.Load()
	if err != nil {
		return nil, err
	}
	failures, err := failure.New(assets, d.Log)
	if err != nil {
		return nil, err
	}
	router, err := newRouter()
	if err != nil {
		return nil, err
	}
	if err := mount(router, d, assets, failures); err != nil {
		return nil, err
	}
	return httpmw.Chain(router,
		httpmw.RequestID,
		httpmw.AccessLog(d.Log),
		httpmw.Recover(d.Log),
		httpmw.SecurityHeaders(httpmw.PageCSP),
		httpmw.LimitBody(maxBody),
		// A bad token is refused, never taken for a stranger's: the sidecar
		// refreshes it and asks again.
		d.Verifier.Optional(failures.Refuse),
	), nil
}

func newRouter() (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	// Matched is the decoded path, and exactly: nothing is trimmed, corrected
	// or redirected to something near it (R3, T22).
	router.RedirectTrailingSlash = false
	router.HandleMethodNotAllowed = true
	router.ContextWithFallback = true
	router.Use(func(c *gin.Context) { httpmw.SetRoute(c.Request.Context(), c.FullPath()) })
	if err := router.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	return router, nil
}

// mount is the list of all pages.
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
	r.Match(read, "/account", failures.Handler(profile.Show))
	r.POST("/account/sessions/end", failures.Handler(profile.End))
	r.POST("/account/sessions/end-others", failures.Handler(profile.EndOthers))
	r.POST("/account/password", failures.Handler(profile.ChangePassword))
	r.NoRoute(failures.Handler(func(*gin.Context) error { return failure.NotFound() }))
	r.NoMethod(failures.Handler(func(*gin.Context) error { return failure.MethodNotAllowed() }))
	return nil
}

// loadUser puts the user into the request's context.
func (d Dependencies) loadUser(c *gin.Context) error {
	ctx, err := d.Users.Load(c.Request.Context())
	if err != nil {
		return err
	}
	c.Request = c.Request.WithContext(ctx)
	return nil
}
