package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/cookie"
)

// 500 users take turns on a few connections. Some disconnect before their response, some in the
// middle of it. No user gets the identity or any byte of another.
func TestFiveHundredUsersOnSharedConnections(t *testing.T) {
	const users, connections, rounds = 500, 25, 2
	w := newWorld(t, func(c *app.Config) { c.MaxSessions = users })
	w.auth.set(func(a *auth) {
		a.rotate = false
		for user := range users {
			a.sessions[fmt.Sprintf("user%018d", user)] = 1
		}
	})
	var all sync.WaitGroup
	for first := range connections {
		all.Go(func() {
			var in *bufio.Reader
			var nc net.Conn
			defer func() { _ = nc.Close() }()
			for i := range rounds * users / connections {
				if in == nil {
					var err error
					if nc, err = net.Dial("tcp", strings.TrimPrefix(w.url, "http://")); err != nil {
						t.Error(err)
						return
					}
					_ = nc.SetDeadline(time.Now().Add(time.Minute))
					in = bufio.NewReader(nc)
				}
				user := fmt.Sprintf("user%018d", (first+i*connections)%users)
				body := strings.Repeat(user, 1+i*20)
				_, _ = fmt.Fprintf(nc, "POST /api/%s HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nCookie: %s=v1.k1.%s.1.%s\r\nContent-Length: %d\r\n\r\n%s",
					user, cookie.Name, user, strings.Repeat("m", 43), len(body), body)
				if i%7 == 3 || i%7 == 5 { // disconnect before or within the response
					if i%7 == 5 {
						_, _ = in.ReadByte()
					}
					_ = nc.Close()
					in = nil
					continue
				}
				if err := owned(in, user, body); err != nil {
					t.Errorf("%s: %v", user, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// owned reads the echo of a request and returns an error if anything in it is not user's.
func owned(in *bufio.Reader, user, body string) error {
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var s seen
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("status %d, body %.200s: %w", res.StatusCode, text, err)
	}
	if s.Path != "/api/"+user || s.Body != body || !strings.HasPrefix(s.Header.Get("Authorization"), "Bearer access-"+user+"-") {
		return fmt.Errorf("got path %s, Authorization %s and %d bytes, want the user's own and %d bytes", s.Path, s.Header.Get("Authorization"), len(s.Body), len(body))
	}
	return nil
}
