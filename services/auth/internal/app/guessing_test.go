package app_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
)

const wrongPassword = "this is not the password"

// clocked is a service whose rate limits use a clock that the test advances.
type clocked struct {
	*service

	redis *miniredis.Miniredis
	now   time.Time
}

func newClocked(t *testing.T) *clocked {
	t.Helper()
	c, key := settings(t, t.TempDir())
	redis, _ := redistest.Mini(t)
	redis.Server().SetPreHook(func(peer *server.Peer, command string, _ ...string) bool {
		if command == "INFO" { // miniredis lacks the memory and replication sections
			peer.WriteBulk("maxmemory_policy:noeviction\r\nmaster_replid:0123456789abcdef\r\n")
		}
		return command == "INFO"
	})
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret("redis://"+redis.Addr())
	s := &clocked{start(t, c, key), redis, time.Now()}
	s.advance(0)
	return s
}

func (s *clocked) advance(d time.Duration) {
	s.now = s.now.Add(d)
	s.redis.SetTime(s.now)
	s.redis.FastForward(d)
}

// signIn signs in from an address, in a browser with former sessions.
func (s *service) signIn(client, email, password, from string, had ...string) answer {
	s.t.Helper()
	body := api.Credentials{Email: email, Password: password, Presenter: api.Presenter{UserAgent: "test", ClientAddress: from}}
	if had != nil {
		body.Presenter.Sessions = &had
	}
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	tooMany := len(had) > 4 // the contract forbids that
	return s.do(s.request(http.MethodPost, "/v1/sessions", s.assertion(client), "application/json", string(text)), tooMany)
}

// retryAfter returns the Retry-After of a response.
func (a answer) retryAfter(t *testing.T) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		t.Fatalf("status %d with Retry-After %q, want at least 1 second", a.status, a.header.Get("Retry-After"))
	}
	return time.Duration(seconds) * time.Second
}

// TestAnAttackerDoesNotKeepTheOwnerOut guesses a password every second for seven minutes, from the
// network address of the owner. The owner must still get in from a known device.
func TestAnAttackerDoesNotKeepTheOwnerOut(t *testing.T) {
	const owner, other = "fred@pond.test", "mina@pond.test"
	s := newClocked(t)
	live := s.register(owner).Token.RefreshToken
	signedOut := decode[api.Session](t, s.login(owner, password).body).Token.RefreshToken
	if a := s.revoke(signedOut); a.status != http.StatusOK {
		t.Fatalf("revoke: status %d, want 200", a.status)
	}
	others := s.register(other).Token.RefreshToken
	forged := signedOut[:len(signedOut)-2] + "AA"
	guesses := 0
	for second := range 7 * 60 {
		s.advance(time.Second)
		switch a := s.signIn("app", owner, wrongPassword, "192.0.2.7"); a.status {
		case http.StatusUnauthorized:
			guesses++
		case http.StatusTooManyRequests:
			a.retryAfter(t)
		default:
			t.Fatalf("a guess: status %d, want 401 or 429: %s", a.status, a.body)
		}
		if second < 60 || second%60 != 30 {
			continue
		}
		for name, had := range map[string][]string{
			"signed out": {signedOut}, "still signed in": {live}, "also known to another account": {others, signedOut}, "among invalid tokens": {forged, "", "v1", signedOut},
		} {
			if a := s.signIn("app", owner, password, "192.0.2.7", had...); a.status != http.StatusCreated {
				t.Errorf("after %d s, owner (%s): status %d, want 201: %s", second, name, a.status, a.body)
			}
		}
		for name, c := range map[string]struct {
			client, address string
			had             []string
		}{
			"a stranger": {"app", "203.0.113.1", nil}, "a device of another account": {"app", "203.0.113.1", []string{others}}, "a forged device": {"app", "203.0.113.1", []string{forged}},
			"a device of another client": {"other", "203.0.113.1", []string{signedOut}}, "the fifth session": {"app", "203.0.113.1", []string{others, others, others, others, signedOut}},
		} {
			a := s.signIn(c.client, owner, password, c.address, c.had...)
			if a.status != http.StatusTooManyRequests {
				t.Errorf("after %d s, %s: status %d, want 429", second, name, a.status)
			}
			a.retryAfter(t)
		}
	}
	if guesses > 10+7 {
		t.Errorf("%d guesses in 7 minutes, want at most 17", guesses)
	}
	// After the attack, a stranger gets in when Retry-After has passed, and not sooner.
	a := s.signIn("app", owner, password, "203.0.113.1")
	s.advance(a.retryAfter(t) - time.Second - time.Millisecond)
	if a := s.signIn("app", owner, password, "203.0.113.1"); a.status != http.StatusTooManyRequests {
		t.Errorf("before Retry-After has passed: status %d, want 429", a.status)
	}
	s.advance(time.Second + time.Millisecond)
	if a := s.signIn("app", owner, password, "203.0.113.1"); a.status != http.StatusCreated {
		t.Errorf("after Retry-After has passed: status %d, want 201: %s", a.status, a.body)
	}
}

// TestANetworkAddressUsedUpKeepsNoKnownDeviceOut exhausts the limit of a network address, which an
// attacker may share with a whole office.
func TestANetworkAddressUsedUpKeepsNoKnownDeviceOut(t *testing.T) {
	s := newClocked(t)
	token := s.register("fred@pond.test").Token.RefreshToken
	for range 300 {
		s.signIn("app", "nobody@pond.test", wrongPassword, "192.0.2.7")
	}
	if a := s.signIn("app", "fred@pond.test", password, "192.0.2.7"); a.status != http.StatusTooManyRequests {
		t.Errorf("a stranger: status %d, want 429", a.status)
	}
	if a := s.signIn("app", "fred@pond.test", password, "192.0.2.7", token); a.status != http.StatusCreated {
		t.Errorf("a known device: status %d, want 201: %s", a.status, a.body)
	}
}

func TestGuessingThroughAKnownDeviceIsBounded(t *testing.T) {
	const owner = "fred@pond.test"
	s := newClocked(t)
	stolen := s.register(owner).Token
	kept := stolen
	for kept.Sid[0] == stolen.Sid[0] { // one pair of devices in 64 shares a counter
		kept = decode[api.Session](t, s.login(owner, password).body).Token
	}
	guesses := 0
	for range 3 * 60 {
		s.advance(time.Second)
		if s.signIn("app", owner, wrongPassword, "203.0.113.9", stolen.RefreshToken).status == http.StatusUnauthorized {
			guesses++
		}
	}
	if guesses > 10+3 {
		t.Errorf("%d guesses in 3 minutes, want at most 13", guesses)
	}
	a := s.signIn("app", owner, password, "203.0.113.9", stolen.RefreshToken)
	if a.status != http.StatusTooManyRequests {
		t.Errorf("the right password from the guessing device: status %d, want 429", a.status)
	}
	a.retryAfter(t)
	if !strings.Contains(s.logs.String(), `"reason":"login_device"`) {
		t.Error("no audit event with reason login_device")
	}
	for name, had := range map[string][]string{"a stranger": nil, "another device": {kept.RefreshToken}} {
		if a := s.signIn("app", owner, password, "192.0.2.7", had...); a.status != http.StatusCreated {
			t.Errorf("%s: status %d, want 201", name, a.status)
		}
	}
	// A successful login resets the limit of the device.
	s.advance(a.retryAfter(t))
	for range 3 {
		if a := s.signIn("app", owner, password, "203.0.113.9", stolen.RefreshToken); a.status != http.StatusCreated {
			t.Fatalf("after Retry-After has passed: status %d, want 201: %s", a.status, a.body)
		}
	}
}

// TestARefusalTellsNeitherAccountNorDevice checks that refusals of the same status are identical,
// so that they reveal neither whether an account exists nor whether a device is known.
func TestARefusalTellsNeitherAccountNorDevice(t *testing.T) {
	s := newClocked(t)
	token := s.register("fred@pond.test").Token.RefreshToken
	answers := make(map[int]answer)
	for i := range 11 { // the last is refused by a limit
		for _, c := range []struct {
			who, email string
			had        []string
		}{
			{"a stranger", "fred@pond.test", nil},
			{"a known device", "fred@pond.test", []string{token}},
			{"a stranger, at no account", "nobody@pond.test", nil},
			{"a device of another account", "nobody2@pond.test", []string{token}},
			{"no address", "nobody", nil},
		} {
			got := s.signIn("app", c.email, wrongPassword, "192.0.2.7", c.had...)
			if got.status != http.StatusTooManyRequests && (got.status != http.StatusUnauthorized || i == 10) {
				t.Errorf("attempt %d, %s: status %d, want 401 at first and 429 at the latest in attempt 11: %s", i+1, c.who, got.status, got.body)
			}
			want, ok := answers[got.status]
			if answers[got.status] = got; ok && (!bytes.Equal(got.body, want.body) || len(got.header) != len(want.header)) {
				t.Errorf("attempt %d, %s: %v %s, want %v %s", i+1, c.who, got.header, got.body, want.header, want.body)
			}
		}
	}
}

func TestALoginHandsBackTheSessionsOfOtherAccounts(t *testing.T) {
	s := embedded(t)
	mina, fred := s.register("mina@pond.test").Token.RefreshToken, s.register("fred@pond.test").Token.RefreshToken
	a := s.signIn("app", "fred@pond.test", password, "192.0.2.7", "junk", fred, mina)
	if got := decode[api.Session](t, a.body).OtherSessions; len(got) != 1 || got[0] != mina {
		t.Errorf("login: status %d, other sessions %q; want only mina's", a.status, got)
	}
	a = s.json("/v1/users", api.NewUser{Email: "gus@pond.test", Name: "Gus", Password: password, Presenter: api.Presenter{Sessions: &[]string{mina, fred}}})
	if got := decode[api.Session](t, a.body).OtherSessions; len(got) != 2 {
		t.Errorf("registration: status %d, other sessions %q; want both", a.status, got)
	}
	if got := s.register("una@pond.test").OtherSessions; got == nil || len(got) != 0 {
		t.Errorf("other sessions are %q, want an empty list", got)
	}
}

// TestAWrongCurrentPasswordIsAGuess checks that a wrong current password is audited and counts
// against the limit of the session's device, together with its logins.
func TestAWrongCurrentPasswordIsAGuess(t *testing.T) {
	const owner = "fred@pond.test"
	change := func(s *service, token api.Token, current, replacement string) answer {
		return s.do(s.request(http.MethodPost, "/v1/me/password", token.AccessToken, "application/json",
			`{"current_password":"`+current+`","new_password":"`+replacement+`"}`), false)
	}
	const next = "another pond full of frogs"
	t.Run("audited", func(t *testing.T) {
		s := embedded(t)
		u := s.register(owner)
		if a := change(s, u.Token, wrongPassword, next); a.status != http.StatusUnprocessableEntity {
			t.Fatalf("status %d, want 422: %s", a.status, a.body)
		}
		for _, want := range []string{`"event":"user.password_change_failed"`, `"result":"failure"`, `"reason":"wrong_password"`, `"sid_hash"`} {
			if line := s.audited("user.password_change_failed"); !strings.Contains(line, want) || !strings.Contains(line, u.User.Sub) {
				t.Errorf("audit event is %s, want %s and the user ID in it", line, want)
			}
		}
	})
	t.Run("counted", func(t *testing.T) {
		s := newClocked(t)
		token := s.register(owner).Token
		for range 5 {
			// Both attempts count against the limit of the same device.
			change(s.service, token, wrongPassword, next)
			s.signIn("app", owner, wrongPassword, "192.0.2.7", token.RefreshToken)
		}
		a := change(s.service, token, password, next)
		if a.status != http.StatusTooManyRequests {
			t.Fatalf("after ten guesses: status %d, want 429: %s", a.status, a.body)
		}
		if a := s.signIn("app", owner, password, "192.0.2.7", token.RefreshToken); a.status != http.StatusTooManyRequests {
			t.Errorf("login after ten guesses: status %d, want 429", a.status)
		}
		s.advance(a.retryAfter(t))
		if a := change(s.service, token, password, next); a.status != http.StatusNoContent {
			t.Errorf("after Retry-After has passed: status %d, want 204: %s", a.status, a.body)
		}
	})
	t.Run("strangers do not stop it", func(t *testing.T) {
		s := embedded(t)
		token := s.register(owner).Token
		for s.signIn("app", owner, wrongPassword, "203.0.113.9").status != http.StatusTooManyRequests {
		}
		if a := change(s, token, password, next); a.status != http.StatusNoContent {
			t.Errorf("change of the password: status %d, want 204: %s", a.status, a.body)
		}
	})
	t.Run("the right one is no guess", func(t *testing.T) {
		s := embedded(t)
		token := s.register(owner).Token
		for range 11 {
			if a := change(s, token, password, "short"); a.status != http.StatusUnprocessableEntity {
				t.Fatalf("status %d, want 422: %s", a.status, a.body)
			}
		}
	})
}

// audited returns the first audit log line of an event.
func (s *service) audited(event string) string {
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, `"event":"`+event+`"`) {
			return line
		}
	}
	return ""
}

// TestLimitsSurviveAChangeOfTheRing checks that a new ring key does not reset the limits, whose
// Redis keys derive from the ring.
func TestLimitsSurviveAChangeOfTheRing(t *testing.T) {
	c, key := settings(t, t.TempDir())
	s := start(t, c, key)
	for s.login("fred@pond.test", wrongPassword).status != http.StatusTooManyRequests {
	}
	old, fresh := read(t, c.RingKeysFile), []byte(session.NewRingLine())
	for i, ring := range [][]byte{append(bytes.Clone(old), fresh...), append(bytes.Clone(fresh), old...)} {
		replace(t, c.RingKeysFile, ring)
		eventually(t, "the keys are reloaded", func() bool { return strings.Count(s.logs.String(), "keys reloaded") == i+1 })
		if a := s.login("fred@pond.test", wrongPassword); a.status != http.StatusTooManyRequests {
			t.Errorf("after change %d: status %d, want 429", i+1, a.status)
		}
	}
}

// TestGuessingTakesABoundedPlaceInRedis checks that Redis keys for unknown e-mail and network
// addresses expire within a minute or are shared by many addresses.
func TestGuessingTakesABoundedPlaceInRedis(t *testing.T) {
	s, redis, _ := stores(t, nil)
	for i := range 12 {
		if a := s.signIn("app", "nobody"+strconv.Itoa(i)+"@pond.test", wrongPassword, "2001:db8:"+strconv.Itoa(i)+"::1"); a.status != http.StatusUnauthorized {
			t.Fatalf("login: status %d, want 401: %s", a.status, a.body)
		}
	}
	keys, err := redis.Keys(t.Context(), "rate:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		_, tag, _ := strings.Cut(key, "{")
		shared := len(tag) <= len("3ffff}")
		left, err := redis.TTL(t.Context(), key).Result()
		if err != nil || left > time.Minute && !shared {
			t.Errorf("%s: TTL %v, error %v; want at most a minute", key, left, err)
		}
	}
}

// TestAllFormsTogetherAreBounded stores forms of many accounts: since anyone may register, a limit
// per account alone bounds nothing.
func TestAllFormsTogetherAreBounded(t *testing.T) {
	s := newClocked(t)
	token := ""
	for i := 0; ; i++ {
		if i%10 == 0 {
			token = s.registerFrom("fred"+strconv.Itoa(i)+"@pond.test", "192.0.2."+strconv.Itoa(i%250)).Token.RefreshToken
		}
		a := s.keepForm(token, []byte("sealed"))
		if a.status == http.StatusTooManyRequests {
			a.retryAfter(t)
			break
		}
		if a.status != http.StatusNoContent || i == 250 {
			t.Fatalf("form %d: status %d, want 204, and 429 for form 251 at the latest: %s", i+1, a.status, a.body)
		}
	}
	if !strings.Contains(s.logs.String(), `"reason":"form_total"`) {
		t.Error("no audit event with reason form_total")
	}
}
