package app_test

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
)

// stores starts a service with its own Redis, which the test may manipulate.
func stores(t *testing.T, change func(*app.Config)) (*service, *goredis.Client, *app.Config) {
	t.Helper()
	c, key := settings(t, t.TempDir())
	redis := redistest.Start(t)
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret(redis.URL())
	if change != nil {
		change(c)
	}
	return start(t, c, key), redis.Client(t), c
}

func (s *service) bearer(method, path string, token api.Token) answer {
	s.t.Helper()
	return s.do(s.request(method, path, token.AccessToken, "", ""), false)
}

func (s *service) mustRefresh(token string) api.Token {
	s.t.Helper()
	a := s.refresh("app", token)
	if a.status != http.StatusOK {
		s.t.Fatalf("refresh: status %d, want 200: %s", a.status, a.body)
	}
	return decode[api.Token](s.t, a.body)
}

func (s *service) mustBeEnded(token string) {
	s.t.Helper()
	if a := s.refresh("app", token); a.status != http.StatusBadRequest || oauthCode(s.t, a) != "invalid_grant" {
		s.t.Errorf("refresh of an ended session: status %d, want 400 invalid_grant: %s", a.status, a.body)
	}
}

func flush(t *testing.T, redis *goredis.Client) {
	t.Helper()
	if err := redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestFlushedRedisLogsNobodyOutAndBringsNobodyBack(t *testing.T) {
	s, redis, _ := stores(t, nil)
	alive, gone := s.register("fred@pond.test").Token, s.register("mina@pond.test").Token
	alive = s.mustRefresh(alive.RefreshToken)
	if a := s.revoke(gone.RefreshToken); a.status != http.StatusOK {
		t.Fatalf("revoke: status %d, want 200", a.status)
	}
	flush(t, redis)
	s.mustBeEnded(gone.RefreshToken)
	next := s.mustRefresh(alive.RefreshToken)
	if next.Sid != alive.Sid || !next.ExpiresAt.Equal(alive.ExpiresAt) {
		t.Errorf("session after the flush is %+v, want the same sid and end as %+v", next, alive)
	}
	// A retry gets the same successor, even though Redis lost the session.
	if again := s.mustRefresh(alive.RefreshToken); again.RefreshToken != next.RefreshToken {
		t.Errorf("retry returned refresh token %s, want the same successor %s", again.RefreshToken, next.RefreshToken)
	}
	if a := s.refresh("other", next.RefreshToken); a.status != http.StatusUnauthorized {
		t.Errorf("refresh by another client: status %d, want 401: %s", a.status, a.body)
	}
}

func TestRebuildingCanBeTurnedOff(t *testing.T) {
	s, redis, _ := stores(t, func(c *app.Config) { c.RebuildSessions = false })
	token := s.register("fred@pond.test").Token
	flush(t, redis)
	s.mustBeEnded(token.RefreshToken)
	if a := s.login("fred@pond.test", password); a.status != http.StatusCreated {
		t.Errorf("login: status %d, want 201: %s", a.status, a.body)
	}
}

// TestAnOldCopyOfRedisBringsNobodyBack restores what Redis held before a logout and a rotation.
func TestAnOldCopyOfRedisBringsNobodyBack(t *testing.T) {
	s, redis, _ := stores(t, nil)
	gone, alive := s.register("fred@pond.test").Token, s.register("mina@pond.test").Token
	dump := map[string]string{}
	keys, err := redis.Keys(t.Context(), "rf:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if dump[k], err = redis.Dump(t.Context(), k).Result(); err != nil {
			t.Fatal(err)
		}
	}
	if a := s.revoke(gone.RefreshToken); a.status != http.StatusOK {
		t.Fatalf("revoke: status %d, want 200", a.status)
	}
	alive = s.mustRefresh(s.mustRefresh(alive.RefreshToken).RefreshToken)
	flush(t, redis)
	for k, v := range dump {
		if err := redis.Restore(t.Context(), k, time.Hour, v).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The service restores the tombstone in Redis by itself.
	eventually(t, "the tombstone is in Redis again", func() bool {
		r, err := redis.HGet(t.Context(), "rf:{"+gone.Sid+"}", "r").Result()
		return err == nil && r == "logout"
	})
	s.mustBeEnded(gone.RefreshToken)
	s.mustRefresh(alive.RefreshToken) // newer than the state in Redis, which is healed
	if !strings.Contains(s.logs.String(), "session.healed") {
		t.Error("no audit event session.healed")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("timed out, want: %s", what)
		case <-tick.C:
		}
	}
}

func TestOwnSessions(t *testing.T) {
	s := embedded(t)
	first := s.register("fred@pond.test").Token
	second := decode[api.Session](t, s.login("fred@pond.test", password).body).Token
	third := decode[api.Session](t, s.login("fred@pond.test", password).body).Token
	stranger := s.register("mina@pond.test").Token

	list := decode[api.SessionList](t, s.bearer(http.MethodGet, "/v1/sessions", third).body).Sessions
	current := 0
	for _, v := range list {
		if v.Current {
			current++
		}
		if v.Current != (v.Sid == third.Sid) || v.Device != "test" {
			t.Errorf("session is %+v, want device test, and current only for %s", v, third.Sid)
		}
	}
	if len(list) != 3 || current != 1 {
		t.Errorf("sessions are %+v, want 3 with one current", list)
	}
	// Deleting another user's session has no effect and does not reveal whether it exists.
	if a := s.bearer(http.MethodDelete, "/v1/sessions/"+stranger.Sid, third); a.status != http.StatusNoContent {
		t.Errorf("another user's session: status %d, want 204: %s", a.status, a.body)
	}
	s.mustRefresh(stranger.RefreshToken)
	if a := s.bearer(http.MethodDelete, "/v1/sessions/x*{}", third); a.status != http.StatusNotFound {
		t.Errorf("malformed session ID: status %d, want 404: %s", a.status, a.body)
	}
	if a := s.bearer(http.MethodDelete, "/v1/sessions/"+first.Sid, third); a.status != http.StatusNoContent {
		t.Errorf("end one session: status %d, want 204: %s", a.status, a.body)
	}
	s.mustBeEnded(first.RefreshToken)
	if a := s.bearer(http.MethodDelete, "/v1/sessions?others=true", third); a.status != http.StatusNoContent {
		t.Errorf("end all other sessions: status %d, want 204: %s", a.status, a.body)
	}
	s.mustBeEnded(second.RefreshToken)
	third = s.mustRefresh(third.RefreshToken)
	if a := s.bearer(http.MethodDelete, "/v1/sessions", third); a.status != http.StatusNoContent {
		t.Errorf("end all sessions: status %d, want 204: %s", a.status, a.body)
	}
	s.mustBeEnded(third.RefreshToken)
	for _, sid := range []string{first.Sid, second.Sid, third.Sid, stranger.Sid} {
		if strings.Contains(s.logs.String(), sid) {
			t.Errorf("the log contains the session ID %s", sid)
		}
	}
}

func TestAChangedPasswordEndsTheOthers(t *testing.T) {
	s := embedded(t)
	other := s.register("fred@pond.test").Token
	mine := decode[api.Session](t, s.login("fred@pond.test", password).body).Token
	change := func(current, replacement string) answer {
		body := `{"current_password":"` + current + `","new_password":"` + replacement + `"}`
		return s.do(s.request(http.MethodPost, "/v1/me/password", mine.AccessToken, "application/json", body), false)
	}
	const replacement = "another pond full of newts"
	for _, c := range [][2]string{{"wrong", replacement}, {password, "short"}} {
		if a := change(c[0], c[1]); a.status != http.StatusUnprocessableEntity {
			t.Errorf("current and new password %v: status %d, want 422: %s", c, a.status, a.body)
		}
	}
	if a := change(password, replacement); a.status != http.StatusNoContent {
		t.Fatalf("change of the password: status %d, want 204: %s", a.status, a.body)
	}
	s.mustBeEnded(other.RefreshToken)
	s.mustRefresh(mine.RefreshToken)
	if a := s.login("fred@pond.test", password); a.status != http.StatusUnauthorized {
		t.Errorf("login with the old password: status %d, want 401", a.status)
	}
	if a := s.login("fred@pond.test", replacement); a.status != http.StatusCreated {
		t.Errorf("login with the new password: status %d, want 201", a.status)
	}
}

// follow connects to the revocation feed and returns its lines.
func (s *service) follow(lastEventID string) <-chan string {
	s.t.Helper()
	r := s.request(http.MethodGet, "/v1/revocations", "", "", "")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("follow: status %d, header %v; want 200 and text/event-stream", res.StatusCode, res.Header)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(res.Body); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-s.t.Context().Done():
				return
			}
		}
	}()
	return lines
}

func await(t *testing.T, lines <-chan string, part string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the feed ended, want a line with %q", part)
			}
			if strings.Contains(line, part) {
				return line
			}
		case <-timeout:
			t.Fatalf("timed out, want a line with %q in the feed", part)
		}
	}
}

func TestTheFeedTellsEveryEndResumesAndBeats(t *testing.T) {
	s, _, _ := stores(t, nil)
	lines := s.follow("")
	await(t, lines, ": beat")
	one, two, three := s.register("a@pond.test").Token, s.register("b@pond.test").Token, s.register("c@pond.test").Token
	s.revoke(one.RefreshToken)
	id := strings.TrimPrefix(await(t, lines, "id: "), "id: ")
	await(t, lines, `{"sid":"`+one.Sid+`","reason":"logout"}`)
	s.bearer(http.MethodDelete, "/v1/sessions", two)
	await(t, lines, `{"sid":"`+two.Sid+`","reason":"user_request"}`)
	// The feed also reports sessions that reuse ended.
	s.mustRefresh(s.mustRefresh(three.RefreshToken).RefreshToken)
	s.mustBeEnded(three.RefreshToken)
	await(t, lines, `{"sid":"`+three.Sid+`","reason":"reuse"}`)
	// A follower that reconnects gets only what it missed.
	resumed := s.follow(id)
	if line := await(t, resumed, "data: "); !strings.Contains(line, two.Sid) {
		t.Errorf("first event after resuming is %s, want sid %s", line, two.Sid)
	}
	// A new follower gets all stored events.
	if line := await(t, s.follow(""), "data: "); !strings.Contains(line, one.Sid) {
		t.Errorf("first event is %s, want sid %s", line, one.Sid)
	}
}

func TestAFeedWithoutRedisIsSilent(t *testing.T) {
	c, key := settings(t, t.TempDir())
	redis := redistest.Start(t)
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret(redis.URL())
	s := start(t, c, key)
	await(t, s.follow(""), ": beat")
	redis.Stop()
	// Without Redis, a new follower gets the hello but no beats.
	eventually(t, "no beats in the feed", func() bool {
		lines := s.follow("")
		await(t, lines, ": hello")
		quiet := time.After(2500 * time.Millisecond)
		for {
			select {
			case line := <-lines:
				if strings.Contains(line, "beat") {
					return false
				}
			case <-quiet:
				return true
			}
		}
	})
	redis.Start(t)
	await(t, s.follow(""), ": beat")
}

func TestConfirmMakesThePredecessorStale(t *testing.T) {
	s, _, _ := stores(t, func(c *app.Config) { c.Overlap = time.Millisecond })
	first := s.register("fred@pond.test").Token
	second := s.mustRefresh(first.RefreshToken)
	if a := s.json("/v1/sessions/confirm", api.Confirmation{RefreshTokens: []string{second.RefreshToken, "nonsense"}}); a.status != http.StatusNoContent {
		t.Fatalf("confirm: status %d, want 204: %s", a.status, a.body)
	}
	// Once the successor is confirmed, its predecessor from another network is reuse.
	a := s.refreshFrom("app", first.RefreshToken, "Other", "198.51.100.1")
	if a.status == http.StatusOK {
		a = s.refreshFrom("app", first.RefreshToken, "Other", "198.51.100.1")
	}
	if a.status != http.StatusBadRequest {
		t.Errorf("refresh with the predecessor: status %d, want 400: %s", a.status, a.body)
	}
	s.mustBeEnded(second.RefreshToken)
}

func TestSessionsOfADisabledUserEnd(t *testing.T) {
	s, _, c := stores(t, nil)
	token := s.register("fred@pond.test").Token
	setDisabled(t, c, "fred@pond.test", true)
	// The command writes to Postgres only; the service propagates it.
	lines := s.follow("")
	await(t, lines, `{"sid":"`+token.Sid+`","reason":"user_disabled"}`)
	s.mustBeEnded(token.RefreshToken)
	if a := s.login("fred@pond.test", password); a.status != http.StatusUnauthorized {
		t.Errorf("login while disabled: status %d, want 401", a.status)
	}
	setDisabled(t, c, "fred@pond.test", false)
	if a := s.login("fred@pond.test", password); a.status != http.StatusCreated {
		t.Errorf("login after enabling: status %d, want 201", a.status)
	}
}

// setDisabled does what the command does: it changes the account in Postgres only.
func setDisabled(t *testing.T, c *app.Config, email string, disabled bool) {
	t.Helper()
	change(t, c, func(s *user.Service) (user.User, error) { return s.SetDisabled(t.Context(), email, disabled) })
}

func change(t *testing.T, c *app.Config, change func(*user.Service) (user.User, error)) {
	t.Helper()
	if err := app.ChangeUser(t.Context(), c.Stores, audit.New(slog.New(slog.DiscardHandler), time.Now), audit.UserDisabled, change); err != nil {
		t.Fatal(err)
	}
}

// TestEachEndSaysWhy ends sessions in every possible way. Each refresh afterwards must return the
// reason, and the audit log must have each end only once.
func TestEachEndSaysWhy(t *testing.T) {
	const maxSessions = 5
	s, redis, c := stores(t, func(c *app.Config) { c.MaxSessions = maxSessions })
	database, err := pgx.Connect(t.Context(), c.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close(context.WithoutCancel(t.Context()))
	execute := func(statement, sid string) {
		t.Helper()
		if _, err := database.Exec(t.Context(), statement, sid); err != nil {
			t.Fatal(err)
		}
	}
	forget := func(sid string) {
		t.Helper()
		if err := redis.Del(t.Context(), "rf:{"+sid+"}").Err(); err != nil {
			t.Fatal(err)
		}
	}
	mustBe := func(a answer, status int) {
		t.Helper()
		if a.status != status {
			t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
		}
	}
	another := func(email string) api.Token {
		t.Helper()
		return decode[api.Session](t, s.login(email, password).body).Token
	}
	for reason, end := range map[api.EndReason]func(email string, token api.Token){
		api.EndLogout: func(_ string, token api.Token) { mustBe(s.revoke(token.RefreshToken), http.StatusOK) },
		api.EndUserRequest: func(email string, token api.Token) {
			mustBe(s.bearer(http.MethodDelete, "/v1/sessions/"+token.Sid, another(email)), http.StatusNoContent)
		},
		api.EndPasswordChanged: func(email string, _ api.Token) {
			r := s.request(http.MethodPost, "/v1/me/password", another(email).AccessToken, "application/json",
				`{"current_password":"`+password+`","new_password":"another pond full of newts"}`)
			mustBe(s.do(r, false), http.StatusNoContent)
		},
		api.EndUserDisabled: func(email string, _ api.Token) {
			setDisabled(t, c, email, true)
			eventually(t, "the service has propagated the end", func() bool { return ends(s, api.EndUserDisabled) == 1 })
		},
		api.EndUserDeleted: func(email string, _ api.Token) {
			change(t, c, func(s *user.Service) (user.User, error) { return s.Delete(t.Context(), email) })
			eventually(t, "the service has propagated the end", func() bool { return ends(s, api.EndUserDeleted) == 1 })
		},
		api.EndSessionLimit: func(email string, _ api.Token) {
			for range maxSessions {
				another(email)
			}
			eventually(t, "the oldest session has ended", func() bool { return ends(s, api.EndSessionLimit) == 1 })
		},
		api.EndReuse: func(_ string, token api.Token) {
			s.mustRefresh(s.mustRefresh(token.RefreshToken).RefreshToken)
		},
		api.EndExpired: func(_ string, token api.Token) {
			forget(token.Sid)
			execute("UPDATE sessions SET ends_at = now() WHERE family = $1", token.Sid)
		},
		api.EndIdle: func(_ string, token api.Token) {
			forget(token.Sid)
			execute("UPDATE sessions SET seen_at = now() - interval '2 hours' WHERE family = $1", token.Sid)
		},
		api.EndLost: func(_ string, token api.Token) {
			forget(token.Sid)
			execute("DELETE FROM sessions WHERE family = $1", token.Sid)
		},
		api.EndUnusable: nil,
	} {
		t.Run(string(reason), func(t *testing.T) {
			token := api.Token{RefreshToken: "v1.k.AAAAAAAAAAAAAAAAAAAAAA.1.forged"}
			if end != nil {
				email := string(reason) + "@pond.test"
				token = s.register(email).Token
				end(email, token)
			}
			for range 2 {
				a := s.refresh("app", token.RefreshToken)
				if got := decode[api.OAuthError](t, a.body); a.status != http.StatusBadRequest || got.Reason == nil || *got.Reason != reason {
					t.Errorf("refresh: status %d, want 400 with reason %q: %s", a.status, reason, a.body)
				}
			}
			want := 1
			if reason == api.EndLost || reason == api.EndUnusable { // no known session has ended
				want = 0
			}
			if got := ends(s, reason); got != want {
				t.Errorf("%d audit events session.ended, want %d", got, want)
			}
		})
	}
}

// ends counts the audit events of sessions that ended for reason.
func ends(s *service, reason api.EndReason) int {
	n := 0
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, `"event":"session.ended"`) && strings.Contains(line, `"reason":"`+string(reason)+`"`) && strings.Contains(line, `"user_id":`) {
			n++
		}
	}
	return n
}
