// Package failure responds to every error of the frontend: with a page to browsers and a problem
// document to other clients.
//
// It maps errors to what the visitor sees. Texts are constant: the details of an error are logged
// once and never sent.
package failure

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/selfservice"
)

//go:embed page.gohtml
var files embed.FS

// RetryAfter is the Retry-After of responses while a service is unavailable.
const RetryAfter = 5 * time.Second

// Failures writes error responses.
type Failures struct {
	page *layout.Page
	log  *slog.Logger
}

// New returns the error pages.
func New(assets *static.Assets, log *slog.Logger) (*Failures, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &Failures{page, log}, nil
}

// NotFound is the problem for a path that does not exist.
func NotFound() *problem.Problem {
	return problem.New(http.StatusNotFound, problem.NotFound, "There is nothing at this address.")
}

// MethodNotAllowed is the problem for a path that does not support the method.
func MethodNotAllowed() *problem.Problem {
	return problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed, "This cannot be done here.")
}

// SignIn is the problem for an unauthenticated request to a page that requires a user.
func SignIn() *problem.Problem {
	p := problem.New(http.StatusUnauthorized, problem.Unauthorized, "Sign in to go on.")
	p.Challenge = "Bearer"
	return p
}

// Expired is the problem for a token that a service rejected. On 401 the sidecar refreshes the
// token and retries.
func Expired() *problem.Problem {
	p := problem.New(http.StatusUnauthorized, problem.Unauthorized, "Your sign-in has run out. Sign in again.")
	p.Challenge = `Bearer error="invalid_token"`
	return p
}

// Away is the problem for an unavailable service.
func Away() *problem.Problem {
	p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "The pond cannot be reached at the moment. Please try again shortly.")
	p.RetryAfter = RetryAfter
	return p
}

// Limited is the problem for too many attempts.
func Limited(wait time.Duration) *problem.Problem {
	p := problem.New(http.StatusTooManyRequests, problem.RateLimited, "Too many attempts. Please try again later.")
	p.RetryAfter = wait
	return p
}

// Problem maps errors to what the visitor sees.
func Problem(err error) *problem.Problem {
	if limited, ok := errors.AsType[*upstream.RateLimitedError](err); ok {
		return Limited(limited.RetryAfter)
	}
	if faults, ok := errors.AsType[upstream.FieldErrors](err); ok {
		p := problem.New(http.StatusUnprocessableEntity, problem.InvalidFields, "Please look at the marked fields.")
		p.Errors = faults
		return p
	}
	switch {
	case errors.Is(err, upstream.ErrUnauthorized):
		return Expired()
	case errors.Is(err, upstream.ErrNotFound):
		return NotFound()
	case errors.Is(err, upstream.ErrUnavailable):
		return Away()
	default:
		return problem.From(err)
	}
}

// Handler turns a handler that returns an error into a gin handler.
func (f *Failures) Handler(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			c.Abort()
			f.Write(c.Writer, c.Request, err)
		}
	}
}

// Recover is gin middleware that turns a panic into an error page.
func (f *Failures) Recover(c *gin.Context) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		if value == http.ErrAbortHandler || c.Writer.Written() { //nolint:errorlint // net/http compares with == too
			panic(value)
		}
		c.Abort()
		f.Write(c.Writer, c.Request, fmt.Errorf("panic: %v\n%s", value, debug.Stack()))
	}()
	c.Next()
}

// Refuse implements authn.Refuse.
func (f *Failures) Refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	f.Write(w, r, p)
}

// Write responds with err, and logs it if it is a server error.
func (f *Failures) Write(w http.ResponseWriter, r *http.Request, err error) {
	p := Problem(err)
	if p.Status >= http.StatusInternalServerError && !httpmw.LogError(f.log, w, r, err) {
		return
	}
	if !wantsPage(r) {
		problem.Write(w, p)
		return
	}
	p.SetHeader(w.Header())
	if err := f.page.Render(w, r, p.Status, layout.View{Title: say(p.Status).Title, Next: next(r), Content: view(r, p)}); err != nil {
		f.log.ErrorContext(r.Context(), "error page", "error", err)
		problem.Write(w, problem.From(nil))
	}
}

// wantsPage reports whether the client is a browser: browsers accept text/html when they navigate.
func wantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// next returns where to go after sign-in: the requested page, or "" unless the method is GET.
func next(r *http.Request) string {
	if r.Method != http.MethodGet {
		return ""
	}
	return selfservice.Next(r.URL.RequestURI())
}

// content is the data of the template.
type content struct {
	words

	Status int
	Detail string
	// Login says whether to link to the login page. Again is the link to try again, "" for none.
	Login bool
	Next  string
	Again string
}

func view(r *http.Request, p *problem.Problem) content {
	v := content{words: say(p.Status), Status: p.Status, Detail: p.Detail}
	switch p.Status {
	case http.StatusUnauthorized:
		v.Login, v.Next = true, next(r)
	case http.StatusServiceUnavailable, http.StatusInternalServerError:
		v.Again = "/"
		if path := next(r); path != "" {
			v.Again = path
		}
	}
	return v
}

// words are the texts for a status, and the id of the frog in the picture.
type words struct{ Title, Comment, Frog string }

func say(status int) words {
	switch status {
	case http.StatusUnauthorized:
		return words{"Please sign in", "The frogs only talk to people they know.", "glass-frog"}
	case http.StatusForbidden:
		return words{"This pond is private", "A large frog is blocking the way.", "horned-frog"}
	case http.StatusNotFound:
		return words{"No frog here", "Unless it is very well hidden.", "mossy-frog"}
	case http.StatusMethodNotAllowed:
		return words{"Frogs do not do that", "They swim, hop and sit.", "common-frog"}
	case http.StatusTooManyRequests:
		return words{"Not so fast", "Even frogs rest between hops.", "american-bullfrog"}
	case http.StatusServiceUnavailable:
		return words{"The pond is asleep", "It dreams of rain, and will be back.", "water-holding-frog"}
	default:
		return words{"That went wrong", "It was us, not you.", "desert-rain-frog"}
	}
}
