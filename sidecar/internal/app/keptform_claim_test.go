package app_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"lilypad.example/sidecar/internal/cookie"
)

// The form is deleted once the application has responded with a status below 500.
func TestAKeptFormStaysUntilTheApplicationHasAnswered(t *testing.T) {
	answers := func(status int) func(http.ResponseWriter) {
		return func(rw http.ResponseWriter) { rw.WriteHeader(status) }
	}
	for name, c := range map[string]struct {
		app    func(http.ResponseWriter)
		status int
		stays  bool
		says   string
	}{
		"done":             {answers(http.StatusSeeOther), http.StatusSeeOther, false, ""},
		"refused":          {answers(http.StatusUnprocessableEntity), http.StatusUnprocessableEntity, false, ""},
		"its fault":        {answers(http.StatusInternalServerError), http.StatusInternalServerError, true, ""},
		"overloaded":       {answers(http.StatusServiceUnavailable), http.StatusServiceUnavailable, true, ""},
		"no whole answer":  {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, http.StatusBadGateway, true, "still kept"},
		"it starts to end": {answers(http.StatusGatewayTimeout), http.StatusGatewayTimeout, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := keepForm(t, email)
			former := b.jar[cookie.Former]
			var well atomic.Bool
			b.app = func(rw http.ResponseWriter, _ *http.Request) bool {
				if well.Load() {
					return false
				}
				c.app(rw)
				return true
			}
			r := b.confirm("/api/letters")
			if r.status != c.status || !strings.Contains(r.body, c.says) {
				t.Fatalf("status %d, want %d and %q: %s", r.status, c.status, c.says, r.body)
			}
			if kept := b.jar[cookie.Former] == former; kept != c.stays {
				t.Errorf("the browser has cookies %v, want the former token kept: %t", b.jar, c.stays)
			}
			well.Store(true)
			b.jar[cookie.Former] = former
			want := http.StatusGone
			if c.stays {
				want = http.StatusOK
			}
			if r := b.confirm("/api/letters"); r.status != want || c.stays && r.seen(t).Body != entered {
				t.Errorf("confirm again: status %d, want %d: %s", r.status, want, r.body)
			}
		})
	}
}

func TestAKeptFormIsNotSentTwiceAtOnce(t *testing.T) {
	b := keepForm(t, email)
	former, posted := b.jar[cookie.Former], confirmation+strings.Split(b.jar[cookie.Former], ".")[2]
	arrived, answer := make(chan struct{}, 2), make(chan struct{})
	b.app = func(http.ResponseWriter, *http.Request) bool {
		arrived <- struct{}{}
		<-answer
		return false
	}
	send := func() reply {
		return b.send(http.MethodPost, "/api/letters", posted, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate",
			"Content-Type", form, "Cookie", cookie.Name+"="+b.jar[cookie.Name]+"; "+cookie.Former+"="+former)
	}
	first := make(chan reply)
	go func() { first <- send() }()
	<-arrived
	if r := send(); r.status != http.StatusConflict || !strings.Contains(r.body, "being sent") {
		t.Errorf("second confirmation meanwhile: status %d, want 409: %s", r.status, r.body)
	}
	close(answer)
	if r := <-first; r.status != http.StatusOK || r.seen(t).Body != entered {
		t.Errorf("first confirmation: status %d, want 200 and the form sent: %s", r.status, r.body)
	}
	if r := send(); r.status != http.StatusGone || len(arrived) != 0 {
		t.Errorf("confirm after it was sent: status %d, want 410: %s", r.status, r.body)
	}
}

// On a second click, a browser abandons the first request while the application is processing it.
func TestWhoPressesTheButtonTwiceSendsAKeptFormOnce(t *testing.T) {
	b := keepForm(t, email)
	arrived, left := make(chan struct{}), make(chan struct{})
	b.app = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // net/http detects a disconnect only after this
		close(arrived)
		<-r.Context().Done()
		close(left)
		return true
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	word := confirmation + strings.Split(b.jar[cookie.Former], ".")[2]
	_, _ = fmt.Fprintf(conn, "POST /api/letters HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: %s\r\nContent-Length: %d\r\nCookie: %s=%s; %s=%s\r\n\r\n%s",
		form, len(word), cookie.Name, b.jar[cookie.Name], cookie.Former, b.jar[cookie.Former], word)
	<-arrived
	_ = conn.Close()
	<-left
	if r := b.confirm("/api/letters"); r.status != http.StatusConflict || b.jar[cookie.Former] == "" {
		t.Errorf("confirm after the client disconnected: status %d, want 409 and the former token kept: %s", r.status, r.body)
	}
}

// Any number of slow anonymous uploads leaves room to keep forms.
func TestSlowStrangersDoNotKeepFormsFromBeingKept(t *testing.T) {
	b := newBrowser(t)
	b.signIn(email, "")
	b.killSession()
	for range 100 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = fmt.Fprintf(conn, "POST /api/letters HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nContent-Type: %s\r\nContent-Length: 1000\r\nCookie: %s=v1.k1.family9999999999999999.1.%s\r\n\r\ntext=",
			form, cookie.Former, strings.Repeat("m", 43))
	}
	if r := b.post("/api/letters", entered); r.header.Get("Location") != toForm {
		t.Errorf("post: status %d, want 303 to the login page: %s", r.status, r.body)
	}
}
