package replicas

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// cookieName is the session cookie.
const cookieName = "__Host-Http-lilypad"

// userAgent is the User-Agent of all visitors.
const userAgent = "lilypad-replicas"

// impatience is the timeout of a visitor's request.
const impatience = time.Minute

// visitor is a browser with an address of its own and one cookie jar for all tabs.
type visitor struct {
	w               *world
	client          *http.Client
	address         string
	email, password string
	sid             string

	mu     sync.Mutex
	cookie string // what the jar holds; "": nothing
}

// stranger returns a visitor without a session.
func (w *world) stranger() *visitor {
	n := w.visitors.Add(1)
	from := &net.TCPAddr{IP: net.IPv4(127, 100+w.subnet[0], w.subnet[1], byte(n))}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 32,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, to)
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &visitor{w: w, address: from.IP.String(), client: &http.Client{
		Timeout: impatience, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// visitor returns a visitor with a new account, signed in.
func (w *world) visitor() *visitor {
	w.t.Helper()
	v := w.stranger()
	id := strings.ToLower(cryptorand.Text()[:12])
	v.email, v.password = id+"@pond.example", "croak-"+cryptorand.Text()
	v.begin("/auth/register", map[string]string{"email": v.email, "name": "Frog", "password": v.password})
	return v
}

// again returns another browser in which the same user has signed in.
func (v *visitor) again() *visitor {
	v.w.t.Helper()
	other := v.w.stranger()
	other.email, other.password = v.email, v.password
	other.begin("/auth/login", map[string]string{"email": v.email, "password": v.password})
	return other
}

// copy returns a visitor with a copy of v's cookie.
func (v *visitor) copy(cookie string) *visitor {
	return &visitor{w: v.w, client: v.client, address: v.address, sid: v.sid, cookie: cookie}
}

// begin signs in. Logins are shed under load, so it retries.
func (v *visitor) begin(path string, form map[string]string) {
	v.w.t.Helper()
	body, err := json.Marshal(form)
	if err != nil {
		v.w.t.Fatal(err)
	}
	await(v.w.t, path, func(ctx context.Context) error {
		a := v.do(ctx, v.w.anySidecar(), http.MethodPost, path, string(body))
		if a.err == nil && a.status != http.StatusServiceUnavailable && a.status/100 != 2 {
			v.w.t.Fatalf("%s", a)
		}
		if a.status/100 != 2 {
			return fmt.Errorf("%s", a)
		}
		var begun struct {
			SessionID string `json:"sid"`
		}
		if err := json.Unmarshal([]byte(a.body), &begun); err != nil {
			return err
		}
		v.sid = begun.SessionID
		return nil
	})
}

// anySidecar returns a sidecar that is not leaving, like an ingress.
func (w *world) anySidecar() *program {
	for _, i := range rand.Perm(len(w.sidecars)) {
		if !w.sidecars[i].leaving.Load() {
			return w.sidecars[i]
		}
	}
	return w.sidecars[0]
}

// answer is the result of a request.
type answer struct {
	request string
	err     error // there was no whole answer
	status  int
	header  http.Header
	body    string
	cookie  *http.Cookie // what the browser was told about our cookie, if anything
}

func (a answer) String() string {
	if a.err != nil {
		return a.request + ": " + a.err.Error()
	}
	return fmt.Sprintf("%s answers %d: %.300s", a.request, a.status, a.body)
}

// signedOut returns an error if the response signs the visitor out.
func (a answer) signedOut() error {
	switch {
	case a.cookie != nil && (a.cookie.Value == "" || a.cookie.MaxAge < 0):
		return fmt.Errorf("%s clears the cookie", a)
	case a.err == nil && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status/100 == 3):
		return fmt.Errorf("%s", a)
	}
	return nil
}

// get sends a request to any sidecar, like a script of a page.
func (v *visitor) get(ctx context.Context, path string) answer {
	return v.do(ctx, v.w.anySidecar(), http.MethodGet, path, "")
}

// do sends a request to a sidecar. Like a browser, it stores the cookie even if the body of the
// response is cut off.
func (v *visitor) do(ctx context.Context, sidecar *program, method, path, body string) answer {
	a := answer{request: method + " " + path + " at " + sidecar.name}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+sidecar.address+path, strings.NewReader(body))
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Sec-Fetch-Mode", "cors")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if held := v.held(); held != "" {
		req.Header.Set("Cookie", cookieName+"="+held)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	v.take(&a, resp)
	text, err := io.ReadAll(resp.Body)
	a.body, a.err = string(text), err
	if whose := resp.Header.Get(sessionHeader); whose != "" && whose != v.sid {
		v.w.t.Errorf("%s is of session %s, want %s", a, whose, v.sid)
	}
	return a
}

// held returns the cookie in the jar.
func (v *visitor) held() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.cookie
}

// take stores the cookie of a response.
func (v *visitor) take(a *answer, resp *http.Response) {
	for _, c := range resp.Cookies() {
		if c.Name != cookieName {
			continue
		}
		a.cookie = c
		v.mu.Lock()
		v.cookie = c.Value
		if c.MaxAge < 0 {
			v.cookie = ""
		}
		v.mu.Unlock()
	}
}

// wantOK requests the front page of each sidecar until it answers 200.
func (v *visitor) wantOK(t *testing.T) {
	t.Helper()
	for _, s := range v.w.sidecars {
		await(t, s.name+" to serve a visitor", func(ctx context.Context) error {
			a := v.do(ctx, s, http.MethodGet, "/", "")
			if err := a.signedOut(); err != nil {
				t.Fatal(err)
			}
			if a.err != nil || a.status != http.StatusOK {
				return fmt.Errorf("%s", a)
			}
			return nil
		})
	}
}
