// Package httpapi serves the frogs API of services/frogs/api over HTTP: it translates requests into
// calls of a frog.Store, and errors into problem documents.
//
// The user is the verified principal in the request's context. The package keeps no state between
// requests.
package httpapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frogs/api"
	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/router"
)

// maxBody is the maximum size of a request body in bytes. No endpoint takes a body.
const maxBody = 1 << 10

// csp applies if a browser opens an API response as a page.
const csp = "default-src 'none'; frame-ancestors 'none'"

// Config holds the dependencies of the API.
type Config struct {
	Store    frog.Store
	Verifier *authn.Verifier
	Log      *slog.Logger
	Now      func() time.Time
}

type handler struct{ Config }

// New returns the API. Every path, known or unknown, requires an access token.
func New(c Config) http.Handler {
	r := router.New()
	handler{c}.mount(r)
	return httpmw.Chain(r,
		httpmw.RequestID,
		httpmw.AccessLog(c.Log),
		httpmw.Recover(c.Log),
		httpmw.SecurityHeaders(csp),
		c.Verifier.Require(authn.JSON),
		httpmw.LimitBody(maxBody),
	)
}

func (h handler) mount(r *gin.Engine) {
	r.GET("/api/frogs", h.answer(h.list))
	r.HEAD("/api/frogs", h.answer(h.list))
	r.POST("/api/frogs/:id/pet", h.answer(h.pet))
	r.NoRoute(h.answer(func(*gin.Context) (any, error) { return nil, errNoRoute }))
	r.NoMethod(h.answer(func(*gin.Context) (any, error) { return nil, errNoMethod }))
}

// answer responds with the value that f returns as JSON, or with its error as a problem document.
func (h handler) answer(f func(*gin.Context) (any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		body, err := f(c)
		if err != nil {
			h.fail(c, err)
			return
		}
		c.JSON(http.StatusOK, body)
	}
}

func (h handler) list(c *gin.Context) (any, error) {
	user, err := subject(c)
	if err != nil {
		return nil, err
	}
	all, err := h.Store.Frogs(c.Request.Context(), user)
	if err != nil {
		return nil, err
	}
	list := api.FrogList{Frogs: make([]api.Frog, 0, len(all))}
	for _, f := range all {
		list.Frogs = append(list.Frogs, wire(f))
	}
	return list, nil
}

func (h handler) pet(c *gin.Context) (any, error) {
	user, err := subject(c)
	if err != nil {
		return nil, err
	}
	f, err := h.Store.Pet(c.Request.Context(), user, c.Param("id"), h.Now())
	if err != nil {
		return nil, err
	}
	return wire(f), nil
}

// subject returns the requesting user. It fails closed should the Require middleware be missing.
func subject(c *gin.Context) (string, error) {
	p, ok := authn.FromContext(c.Request.Context())
	if !ok {
		return "", problem.New(http.StatusUnauthorized, problem.Unauthorized, "Sign in to go on.")
	}
	return p.Subject, nil
}

func wire(f frog.Frog) api.Frog {
	return api.Frog{ID: f.ID, Name: f.Name, Latin: f.Latin, Pets: f.Pets, PettedAt: f.PettedAt.UTC()}
}
