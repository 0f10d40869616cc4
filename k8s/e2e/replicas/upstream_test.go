package replicas

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// upstream is the app behind the sidecars. It fails the test if a request arrives without a token
// or with an expired one.
type upstream struct {
	t   *testing.T
	url string
	// slow receives a channel for each request of /slow. The request is answered when the channel
	// is closed.
	slow chan (<-chan struct{})

	mu     sync.Mutex
	bearer map[string]string // the last Authorization of a session
	faults int
}

// expiredLeeway is how long ago a token may have expired when it arrives. Verifiers allow 30 s.
const expiredLeeway = 5 * time.Second

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{t: t, slow: make(chan (<-chan struct{})), bearer: make(map[string]string)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", u.admit(stream))
	mux.HandleFunc("GET /slow", u.admit(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case gate := <-u.slow:
			<-gate
		case <-r.Context().Done():
		}
	}))
	mux.HandleFunc("/", u.admit(func(http.ResponseWriter, *http.Request) {}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

// admit checks the token, sets a response header with its session, and calls next.
func (u *upstream) admit(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		c, err := claims(authorization)
		if late := time.Since(time.Unix(c.Expires, 0)); err == nil && late > expiredLeeway {
			err = fmt.Errorf("token expired %v ago", late)
		}
		if err != nil {
			u.fault(err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		u.mu.Lock()
		u.bearer[c.SessionID] = authorization
		u.mu.Unlock()
		w.Header().Set(sessionHeader, c.SessionID)
		next(w, r)
	}
}

// sessionHeader is the response header with the session of the token.
const sessionHeader = "X-Session"

// stream sends ten events per second until the sidecar closes the stream.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for r.Context().Err() == nil {
		if err := json.NewEncoder(w).Encode(time.Now()); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// fault reports the first error only.
func (u *upstream) fault(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.faults++; u.faults == 1 {
		u.t.Errorf("request at the upstream: %v", err)
	}
}

// authorization returns the last Authorization header of a session.
func (u *upstream) authorization(sessionID string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bearer[sessionID]
}
