package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
)

var (
	errNoRoute  = errors.New("httpapi: no such path")
	errNoMethod = errors.New("httpapi: no such method")
)

// retryAfter is the Retry-After of responses while the store is unavailable.
const retryAfter = 5 * time.Second

// toProblem maps every error to the problem document that the client receives.
func toProblem(err error) *problem.Problem {
	switch {
	case errors.Is(err, errNoRoute):
		return problem.New(http.StatusNotFound, problem.NotFound, "There is nothing here.")
	case errors.Is(err, errNoMethod):
		return problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed, "This method is not for this path.")
	case errors.Is(err, frog.ErrUnknown):
		return problem.New(http.StatusNotFound, problem.NotFound, "There is no such frog.")
	case errors.Is(err, frog.ErrUnavailable):
		p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "The frogs cannot be reached at the moment. Please try again shortly.")
		p.RetryAfter = retryAfter
		return p
	default:
		return problem.From(err)
	}
}

// fail responds with err, and logs it if it is a server error.
func (h handler) fail(c *gin.Context, err error) {
	p := toProblem(err)
	if p.Status >= http.StatusInternalServerError && !httpmw.LogError(h.Log, c.Writer, c.Request, err) {
		return
	}
	problem.Write(c.Writer, p)
}
