package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/pkg/problem"
)

const (
	// writeTimeout bounds one write to a follower; a follower that is slower is
	// disconnected.
	writeTimeout = 5 * time.Second
	// eventBatch is how many events go into one write, about 100 kB.
	eventBatch = 1000
)

// revocations is GET /v1/revocations: ended sessions as server-sent events, for
// everybody who verifies access tokens. Last-Event-ID resumes. A comment each
// second says that the feed hears Redis; silence says that it does not.
//
// It needs no credential, as the JWKS needs none: nobody can do anything with a
// session's id, and the chart's NetworkPolicy limits who reaches this service.
func (a *API) revocations(c *gin.Context) error {
	follower := a.Feed.Follow(c.GetHeader("Last-Event-ID"))
	if follower == nil {
		return problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Too many follow already.")
	}
	defer follower.Close()
	c.Header("Content-Type", "text/event-stream")
	c.Status(http.StatusOK)
	send := sender(c)
	beat := time.NewTicker(feed.Beat)
	defer beat.Stop()
	if !send([]byte(": hello\n\n")) {
		return nil
	}
	for {
		entries, more := follower.Next()
		for batch := range slices.Chunk(entries, eventBatch) {
			if !send(events(batch)) {
				return nil
			}
		}
		select {
		case <-c.Request.Context().Done():
			return nil
		case <-a.Stopping:
			return nil // a drain does not wait for followers: they reconnect to another replica
		case <-more:
		case <-beat.C:
			if a.Feed.Alive() && !send([]byte(": beat\n\n")) {
				return nil
			}
		}
	}
}

// sender returns a function that writes and flushes, and reports whether the
// follower took it.
func sender(c *gin.Context) func([]byte) bool {
	rc := http.NewResponseController(c.Writer)
	return func(text []byte) bool {
		if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return false
		}
		if _, err := c.Writer.Write(text); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
}

// events encodes entries. This service makes the ids and reasons itself: they
// need no escaping in JSON or in an event stream.
func events(entries []feed.Entry) []byte {
	var text []byte
	for _, e := range entries {
		text = fmt.Appendf(text, "id: %s\ndata: {\"sid\":%q,\"reason\":%q}\n\n", e.ID, e.Family, e.Reason)
	}
	return text
}
