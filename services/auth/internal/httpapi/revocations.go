package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/problem"
)

// writeTimeout ends a follower that takes nothing.
const writeTimeout = 5 * time.Second

// revocations is GET /v1/revocations: ended sessions as server-sent events, for
// everybody who verifies access tokens. Last-Event-ID resumes. A comment a
// second says that the stream is heard; silence says that it is not.
//
// It needs no credential, as the JWKS needs none: a session's id is of no use
// to anybody, and the chart's NetworkPolicy says who reaches this service.
func (a *API) revocations(c *gin.Context) error {
	missed, follower := a.Feed.Follow(c.GetHeader("Last-Event-ID"))
	if follower == nil {
		return problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Too many follow already.")
	}
	defer follower.Close()
	c.Header("Content-Type", "text/event-stream")
	c.Status(http.StatusOK)
	send := a.sender(c)
	for _, e := range missed {
		if !send(event(e)) {
			return nil
		}
	}
	beat := time.NewTicker(feed.Beat)
	defer beat.Stop()
	if !send(": hello\n\n") {
		return nil
	}
	for {
		text := ": beat\n\n"
		select {
		case <-c.Request.Context().Done():
			return nil
		case <-a.Stopping:
			return nil // so that a drain does not wait for followers: they come back elsewhere
		case e, ok := <-follower.Entries:
			if !ok {
				return nil
			}
			text = event(e)
		case <-beat.C:
			if !a.Feed.Alive() {
				continue
			}
		}
		if !send(text) {
			return nil
		}
	}
}

// sender writes a piece and flushes it, and reports whether the follower took it.
func (a *API) sender(c *gin.Context) func(string) bool {
	rc := http.NewResponseController(c.Writer)
	return func(text string) bool {
		if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return false
		}
		if _, err := io.WriteString(c.Writer, text); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
}

// event is an entry as an event. Ids and reasons are of our own making: they
// hold nothing that JSON or the event stream would have to escape.
func event(e session.Entry) string {
	return fmt.Sprintf("id: %s\ndata: {\"sid\":%q,\"reason\":%q}\n\n", e.ID, e.Family, e.Reason)
}
