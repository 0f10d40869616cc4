package replicas

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// TestARevocationReachesAllReplicas ends a session in every possible way. Every sidecar and the API
// must then reject it and close its streams, although its access tokens would live for ten minutes.
// The log shows the delay, which should be below a second but may be longer on a busy machine.
// Other sessions are not affected.
func TestARevocationReachesAllReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: 10 * time.Minute})
	w.frogs.start()
	w.frogs.awaitReady()
	bystander := w.visitor()
	bystander.wantOK(t)
	open := w.streams(bystander)

	for _, way := range []struct {
		name string
		end  func(victim, other *visitor)
	}{
		{"logout", func(victim, _ *visitor) {
			w.wantStatus(victim.do(t.Context(), w.sidecars[0], http.MethodPost, "/auth/logout", "{}"), http.StatusNoContent)
		}},
		{"logout of another session", func(victim, other *visitor) {
			w.asks(other, http.MethodDelete, "/v1/sessions/"+victim.sid, "")
		}},
		{"logout everywhere", func(_, other *visitor) {
			w.asks(other, http.MethodDelete, "/v1/sessions", "")
		}},
		{"changed password", func(_, other *visitor) {
			w.asks(other, http.MethodPost, "/v1/me/password", fmt.Sprintf(`{"current_password":%q,"new_password":"another pond full of newts"}`, other.password))
		}},
		{"disabled user", func(victim, _ *visitor) {
			cmd := exec.CommandContext(t.Context(), w.auth[0].path, "user", "disable", victim.email)
			cmd.Env = process.Environment(map[string]string{"DATABASE_URL": w.database})
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("auth user disable: %v\n%s", err, out)
			}
		}},
		{"reuse", func(victim, _ *visitor) {
			const thief = "192.0.2.1"
			stolen := victim.held()
			next := w.mustUse(victim, stolen)
			w.mustUse(victim, next)
			if g, err := w.use(t.Context(), w.auth[2], stolen, "thief", thief); err != nil || g.Error != "invalid_grant" {
				t.Errorf("reuse of an old token: status %d (%s), error %v; want 400 invalid_grant", g.status, g.Error, err)
			}
		}},
	} {
		victim := w.visitor()
		other := victim.again()
		for _, v := range []*visitor{victim, other} {
			v.wantOK(t)
		}
		held, authorization := victim.held(), w.upstream.authorization(victim.sid)
		theirs := w.streams(victim)
		way.end(victim, other)
		ended := time.Now()
		thief := victim.copy(held)
		together(replicas+1, func(i int) {
			if i == replicas {
				w.awaitRefusal(way.name+", the API", func(ctx context.Context) (int, error) {
					return w.call(ctx, w.frogs, http.MethodGet, "/api/frogs", authorization, "")
				})
				return
			}
			where := way.name + ", " + w.sidecars[i].name
			w.awaitRefusal(where, func(ctx context.Context) (int, error) {
				a := thief.do(ctx, w.sidecars[i], http.MethodGet, "/", "")
				return a.status, a.err
			})
			select {
			case <-theirs[i]:
			case <-time.After(process.Patience):
				t.Errorf("%s: the stream is still open", where)
			}
		})
		t.Logf("%s: refused everywhere after %v", way.name, time.Since(ended).Round(time.Millisecond))
	}
	bystander.wantOK(t)
	for i, over := range open {
		select {
		case <-over:
			t.Errorf("the stream of another session at %s was closed too", w.sidecars[i].name)
		default:
		}
	}
}

// awaitRefusal waits until ask returns 401.
func (w *world) awaitRefusal(what string, ask func(context.Context) (int, error)) {
	err := process.Await(w.t.Context(), process.Patience, func(ctx context.Context) error {
		status, err := ask(ctx)
		if err == nil && status != http.StatusUnauthorized {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	if err != nil {
		w.t.Errorf("%s: %v, want 401", what, err)
	}
}

// streams opens an event stream at every sidecar and reads its first event. A channel is closed
// when its stream ends.
func (w *world) streams(v *visitor) []<-chan struct{} {
	w.t.Helper()
	var all []<-chan struct{}
	for _, s := range w.sidecars {
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+s.address+"/stream", http.NoBody)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Cookie", cookieName+"="+v.held())
		resp, err := v.client.Transport.RoundTrip(req) // the client would give up after a while
		if err != nil {
			w.t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		if _, err := lines.ReadString('\n'); err != nil || resp.StatusCode != http.StatusOK {
			w.t.Fatalf("stream at %s: %s, %v", s.name, resp.Status, err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, lines)
		}()
		all = append(all, ended)
	}
	return all
}

// call sends a request with an access token to a service and returns the status.
func (w *world) call(ctx context.Context, p *program, method, path, authorization, body string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.address+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", authorization)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := direct.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// asks sends a request of v to the auth service, which must succeed.
func (w *world) asks(v *visitor, method, path, body string) {
	w.t.Helper()
	if status, err := w.call(w.t.Context(), w.auth[1], method, path, w.upstream.authorization(v.sid), body); err != nil || status != http.StatusNoContent {
		w.t.Errorf("%s %s: status %d, error %v; want success", method, path, status, err)
	}
}

// mustUse refreshes the session of v, like its sidecar, and returns the new refresh token.
func (w *world) mustUse(v *visitor, refreshToken string) string {
	w.t.Helper()
	g, err := w.use(w.t.Context(), w.auth[0], refreshToken, userAgent, v.address)
	if err != nil || g.RefreshToken == refreshToken || g.RefreshToken == "" {
		w.t.Errorf("refresh: status %d (%s), error %v; want 200", g.status, g.Error, err)
	}
	return g.RefreshToken
}

// wantStatus checks the status of a response.
func (w *world) wantStatus(a answer, status int) {
	w.t.Helper()
	if a.err != nil || a.status != status {
		w.t.Errorf("%s, want %d", a, status)
	}
}
