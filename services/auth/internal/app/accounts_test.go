package app_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/user"
)

const newPassword = "another pond full of newts"

func (s *service) changePassword(token api.Token, current, replacement string) answer {
	s.t.Helper()
	return s.do(s.request(http.MethodPost, "/v1/me/password", token.AccessToken, "application/json",
		`{"current_password":"`+current+`","new_password":"`+replacement+`"}`), false)
}

// mustLogin signs in fred@pond.test.
func (s *service) mustLogin(password string) api.Token {
	s.t.Helper()
	a := s.login("fred@pond.test", password)
	if a.status != http.StatusCreated {
		s.t.Fatalf("login: status %d, want 201: %s", a.status, a.body)
	}
	return decode[api.Session](s.t, a.body).Token
}

// mustEndSoon waits until the service refuses a session that was ended in the database.
func (s *service) mustEndSoon(token string) {
	s.t.Helper()
	eventually(s.t, "the session has ended", func() bool { return s.refresh("app", token).status == http.StatusBadRequest })
}

func connectDatabase(t *testing.T, c *app.Config) *pgx.Conn {
	t.Helper()
	database, err := pgx.Connect(t.Context(), c.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close(context.WithoutCancel(t.Context())) })
	return database
}

// TestALoginInFlightDoesNotOutliveAChangeOfItsAccount changes the account while logins hash its
// password.
func TestALoginInFlightDoesNotOutliveAChangeOfItsAccount(t *testing.T) {
	s, _, c := stores(t, nil)
	for name, change := range map[string]func(email string, mine api.Token){
		"password": func(_ string, mine api.Token) {
			if a := s.changePassword(mine, password, newPassword); a.status != http.StatusNoContent {
				t.Errorf("change of the password: status %d, want 204: %s", a.status, a.body)
			}
		},
		"disabled": func(email string, _ api.Token) { setDisabled(t, c, email, true) },
	} {
		t.Run(name, func(t *testing.T) {
			email := name + "@pond.test"
			mine := s.register(email).Token
			var all sync.WaitGroup
			logins := make([]answer, 6)
			for i := range logins {
				all.Go(func() { logins[i] = s.login(email, password) })
			}
			change(email, mine)
			all.Wait()
			for _, a := range logins {
				switch a.status {
				case http.StatusUnauthorized:
				case http.StatusCreated:
					s.mustEndSoon(decode[api.Session](t, a.body).Token.RefreshToken)
				default:
					t.Errorf("login: status %d, want 201 or 401: %s", a.status, a.body)
				}
			}
		})
	}
}

// TestAPasswordAndTheOtherSessionsChangeTogether checks that a change of the password changes
// nothing if the sessions cannot be ended, and that it can be retried, also after a lost response.
func TestAPasswordAndTheOtherSessionsChangeTogether(t *testing.T) {
	s, _, c := stores(t, nil)
	mine := s.register("fred@pond.test").Token
	other := s.mustLogin(password)
	lock, err := connectDatabase(t, c).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE sessions IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	if a := s.changePassword(mine, password, newPassword); a.status != http.StatusServiceUnavailable {
		t.Errorf("with the sessions locked: status %d, want 503: %s", a.status, a.body)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mustLogin(password)
	other = s.mustRefresh(other.RefreshToken)
	for _, attempt := range []string{"first retry", "retry after a lost response"} {
		if a := s.changePassword(mine, password, newPassword); a.status != http.StatusNoContent {
			t.Errorf("%s: status %d, want 204: %s", attempt, a.status, a.body)
		}
	}
	s.mustBeEnded(other.RefreshToken)
	s.mustRefresh(mine.RefreshToken)
	if a := s.login("fred@pond.test", password); a.status != http.StatusUnauthorized {
		t.Errorf("login with the old password: status %d, want 401", a.status)
	}
	if a := s.changePassword(mine, "not my password at all", "a third pond full of newts"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("wrong current password: status %d, want 422: %s", a.status, a.body)
	}
}

// TestADeletedUsersSessionsEnd deletes accounts with the command and with an SQL statement.
func TestADeletedUsersSessionsEnd(t *testing.T) {
	s, _, c := stores(t, nil)
	database := connectDatabase(t, c)
	for name, remove := range map[string]func(email string){
		"command": func(email string) {
			change(t, c, func(s *user.Service) (user.User, error) { return s.Delete(t.Context(), email) })
		},
		"statement": func(email string) {
			if _, err := database.Exec(t.Context(), "DELETE FROM users WHERE email = $1", email); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			token := s.register(name + "@pond.test").Token
			lines := s.follow("")
			remove(name + "@pond.test")
			await(t, lines, `{"sid":"`+token.Sid+`","reason":"user_deleted"}`)
			s.mustBeEnded(token.RefreshToken)
		})
	}
}

func TestChangedRolesReachARunningSessionAtItsNextRefresh(t *testing.T) {
	s, _, c := stores(t, nil)
	token := s.register("fred@pond.test").Token
	change(t, c, func(s *user.Service) (user.User, error) {
		return s.SetRoles(t.Context(), "fred@pond.test", []string{"warden", "keeper"})
	})
	eventually(t, "the new roles after a refresh", func() bool {
		token = s.mustRefresh(token.RefreshToken)
		return slices.Equal(token.Roles, []string{"keeper", "warden"})
	})
	change(t, c, func(s *user.Service) (user.User, error) { return s.SetRoles(t.Context(), "fred@pond.test", nil) })
	eventually(t, "no roles after a refresh", func() bool {
		token = s.mustRefresh(token.RefreshToken)
		return len(token.Roles) == 0
	})
}

// TestASessionThatNobodyUsedIsOverForEverybody checks that introspection and refresh both treat an
// idle session as ended.
func TestASessionThatNobodyUsedIsOverForEverybody(t *testing.T) {
	s, redis, c := stores(t, nil)
	token := s.register("fred@pond.test").Token
	if err := redis.Del(t.Context(), "rf:{"+token.Sid+"}").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := connectDatabase(t, c).Exec(t.Context(), "UPDATE sessions SET seen_at = now() - interval '2 hours' WHERE family = $1", token.Sid); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"refresh token": token.RefreshToken, "access token": token.AccessToken} {
		s.mustBeInactive(name, "app", text)
	}
	a := s.refresh("app", token.RefreshToken)
	if got := decode[api.OAuthError](t, a.body); got.Reason == nil || *got.Reason != api.EndIdle {
		t.Errorf("refresh: status %d, want 400 with reason %q: %s", a.status, api.EndIdle, a.body)
	}
}

// TestEndingThousandsOfSessionsIsOneRequest checks that ending many sessions completes within the
// timeouts of one request.
func TestEndingThousandsOfSessionsIsOneRequest(t *testing.T) {
	s, redis, c := stores(t, nil)
	const many = 3000
	token := s.register("fred@pond.test").Token
	if _, err := connectDatabase(t, c).Exec(t.Context(), `
		INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at)
		SELECT left(translate(encode(sha256(n::text::bytea), 'base64'), '+/=', '-_x'), 21) || 'A', user_id, roles, client, device, begun_at, seen_at, ends_at
		FROM sessions, generate_series(1, $2) AS n WHERE family = $1`, token.Sid, many); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if a := s.bearer(http.MethodDelete, "/v1/sessions", token); a.status != http.StatusNoContent {
		t.Fatalf("end all sessions: status %d, want 204: %s", a.status, a.body)
	}
	t.Logf("ended %d sessions in %v", many+1, time.Since(started))
	entries, err := redis.XRange(t.Context(), "revocations", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[any]bool) // the leader may publish a session again
	for _, entry := range entries {
		told[entry.Values["sid"]] = true
	}
	if len(told) != many+1 {
		t.Errorf("the stream has %d ended sessions, want %d", len(told), many+1)
	}
	s.mustBeEnded(token.RefreshToken)
}
