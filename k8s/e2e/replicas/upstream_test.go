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

// upstream is the app behind the sidecars. It trusts them as an app does, and
// reports a test as failed that lets somebody through without a token, or with
// one that is over.
type upstream struct {
	t   *testing.T
	url string
	// slow takes what a request for /slow waits for; it is answered when that is closed.
	slow chan (<-chan struct{})

	mu     sync.Mutex
	bearer map[string]string // the last Authorization of a session
	faults int
}

// expiredLeeway is how long a token may have been over when it arrives; verifiers allow half a minute.
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

// admit looks at the token, says in a header whose it is, and goes on.
func (u *upstream) admit(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		c, err := claims(authorization)
		if late := time.Since(time.Unix(c.Expires, 0)); err == nil && late > expiredLeeway {
			err = fmt.Errorf("a token that was over for %v", late)
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

// sessionHeader is how the upstream tells the test whom it takes the visitor for.
const sessionHeader = "X-Session"

// stream sends an event now and ten a second until the sidecar ends it.
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

// fault reports the first of many.
func (u *upstream) fault(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.faults++; u.faults == 1 {
		u.t.Errorf("the upstream was sent a request: %v", err)
	}
}

// authorization is the last one that a session's requests carried.
func (u *upstream) authorization(sessionID string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bearer[sessionID]
}
