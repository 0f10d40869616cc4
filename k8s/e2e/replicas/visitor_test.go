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

// cookieName is the one cookie that the product sets.
const cookieName = "__Host-Http-lilypad"

// userAgent is every visitor's.
const userAgent = "lilypad-replicas"

// impatience is when a visitor gives a request up.
const impatience = time.Minute

// A visitor is a person with one browser: one cookie jar, however many tabs,
// and an address of their own.
type visitor struct {
	w               *world
	client          *http.Client
	address         string
	email, password string
	sid             string

	mu     sync.Mutex
	cookie string // what the jar holds; "": nothing
}

// stranger has never been here.
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

// visitor is somebody new who has registered, and so is signed in.
func (w *world) visitor() *visitor {
	w.t.Helper()
	v := w.stranger()
	id := strings.ToLower(cryptorand.Text()[:12])
	v.email, v.password = id+"@pond.example", "croak-"+cryptorand.Text()
	v.begin("/auth/register", map[string]string{"email": v.email, "name": "Frog", "password": v.password})
	return v
}

// again is the same person in another browser, signed in there too.
func (v *visitor) again() *visitor {
	v.w.t.Helper()
	other := v.w.stranger()
	other.email, other.password = v.email, v.password
	other.begin("/auth/login", map[string]string{"email": v.email, "password": v.password})
	return other
}

// copy is somebody with a copy of v's cookie, as it was.
func (v *visitor) copy(cookie string) *visitor {
	return &visitor{w: v.w, client: v.client, address: v.address, sid: v.sid, cookie: cookie}
}

// begin signs in. Hashing passwords sheds load on a busy machine, and a person tries again.
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

// anySidecar is one that is not about to end: the ingress.
func (w *world) anySidecar() *program {
	for _, i := range rand.Perm(len(w.sidecars)) {
		if !w.sidecars[i].leaving.Load() {
			return w.sidecars[i]
		}
	}
	return w.sidecars[0]
}

// An answer is what a request came to.
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

// signedOut says what tells a visitor that they are signed out; nil: nothing does.
func (a answer) signedOut() error {
	switch {
	case a.cookie != nil && (a.cookie.Value == "" || a.cookie.MaxAge < 0):
		return fmt.Errorf("%s: the cookie is taken away", a)
	case a.err == nil && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status/100 == 3):
		return fmt.Errorf("%s", a)
	}
	return nil
}

// get asks any sidecar, as a tab does for what a page needs.
func (v *visitor) get(ctx context.Context, path string) answer {
	return v.do(ctx, v.w.anySidecar(), http.MethodGet, path, "")
}

// do makes one request of one sidecar. The jar keeps what the answer's head
// says, also when its body is cut off, as a browser's does.
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
		v.w.t.Errorf("%s is for session %s, not %s", a, whose, v.sid)
	}
	return a
}

// held is what the jar holds.
func (v *visitor) held() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.cookie
}

// take puts what the answer sets into the jar.
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

// wantOK asks for the front page of each sidecar until it is answered.
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
