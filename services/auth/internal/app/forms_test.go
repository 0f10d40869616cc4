package app_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"lilypad.example/services/auth/api"
)

func (s *service) keepForm(refreshToken string, sealed []byte) answer {
	s.t.Helper()
	return s.json("/v1/forms", api.KeptForm{RefreshToken: refreshToken, Sealed: sealed})
}

func TestAFormOfASessionThatEndedIsKeptForItsOwnerAlone(t *testing.T) {
	s := embedded(t)
	stranger := s.register("mina@pond.test").Token
	gone := s.register("fred@pond.test").Token
	if a := s.revoke(gone.RefreshToken); a.status != http.StatusOK {
		t.Fatalf("revoke: status %d, want 200", a.status)
	}
	sealed := bytes.Repeat([]byte{0, '\n', 0xff}, 20<<10) // 60 KiB
	if a := s.keepForm(gone.RefreshToken, sealed); a.status != http.StatusNoContent {
		t.Fatalf("keep: status %d, want 204: %s", a.status, a.body)
	}
	back := decode[api.Session](t, s.login("fred@pond.test", password).body).Token
	path := "/v1/forms/" + gone.Sid
	for _, c := range []struct {
		method, claim string
		status        int // for a caller without such a form
	}{
		{http.MethodGet, "", 404},
		{http.MethodDelete, "", 204},
		{http.MethodPut, "/claims/a", 404},
		{http.MethodDelete, "/claims/a?sent=true", 204},
	} {
		if a := s.bearer(c.method, path+c.claim, stranger); a.status != c.status {
			t.Errorf("%s %s by another user: status %d, want %d", c.method, c.claim, a.status, c.status)
		}
		if a := s.bearer(c.method, "/v1/forms/"+back.Sid+c.claim, back); a.status != c.status {
			t.Errorf("%s %s of another session: status %d, want %d", c.method, c.claim, a.status, c.status)
		}
		for _, sid := range []string{"x", "*", strings.Repeat("A", 4000)} {
			if a := s.bearer(c.method, "/v1/forms/"+sid+c.claim, back); a.status != http.StatusNotFound {
				t.Errorf("%s %s of session %.30s: status %d, want 404", c.method, c.claim, sid, a.status)
			}
		}
		if a := s.bearer(c.method, path+c.claim, api.Token{AccessToken: s.assertion("app")}); a.status != http.StatusUnauthorized {
			t.Errorf("%s %s with a client assertion: status %d, want 401", c.method, c.claim, a.status)
		}
	}
	for i, want := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, path, 200},
		{http.MethodPut, path + "/claims/a", 200},
		{http.MethodPut, path + "/claims/b", 409},
		{http.MethodDelete, path + "/claims/a?sent=false", 204},
		{http.MethodPut, path + "/claims/b", 200},
		{http.MethodDelete, path + "/claims/b?sent=true", 204},
		{http.MethodPut, path + "/claims/c", 404},
		{http.MethodGet, path, 404},
	} {
		a := s.bearer(want.method, want.path, back)
		if a.status != want.status || a.status == http.StatusOK && !bytes.Equal(decode[api.SealedForm](t, a.body).Sealed, sealed) {
			t.Errorf("step %d, %s %s: status %d, want %d: %s", i, want.method, want.path, a.status, want.status, a.body)
		}
	}
}

func TestAClaimThatBreaksTheContractIsRefused(t *testing.T) {
	s := embedded(t)
	token := s.register("fred@pond.test").Token
	for method, claim := range map[string]string{http.MethodPut: strings.Repeat("b", 65), http.MethodDelete: "a?sent=perhaps"} {
		if a := s.do(s.request(method, "/v1/forms/"+token.Sid+"/claims/"+claim, token.AccessToken, "", ""), true); a.status != http.StatusBadRequest {
			t.Errorf("%s %s: status %d, want 400: %s", method, claim, a.status, a.body)
		}
	}
}

// TestWhoNeverHadASessionFillsNoStore checks that only a refresh token of this service stores a
// form, and only a few of them.
func TestWhoNeverHadASessionFillsNoStore(t *testing.T) {
	s, redis, _ := stores(t, nil)
	token := s.register("fred@pond.test").Token
	forged := token.RefreshToken[:len(token.RefreshToken)-1] + "A"
	if forged == token.RefreshToken {
		forged = token.RefreshToken[:len(token.RefreshToken)-1] + "Q"
	}
	for name, c := range map[string]struct {
		token  string
		client string
		size   int
		status int
	}{
		"forged":         {forged, "app", 10, 403},
		"empty":          {"", "app", 10, 403},
		"another client": {token.RefreshToken, "other", 10, 403},
		"too large":      {token.RefreshToken, "app", 66 << 10, 413},
		"far too large":  {token.RefreshToken, "app", 1 << 20, 413},
	} {
		body := `{"refresh_token":"` + c.token + `","sealed":"` + strings.Repeat("AAAA", c.size/3) + `"}`
		if a := s.do(s.request(http.MethodPost, "/v1/forms", s.assertion(c.client), "application/json", body), false); a.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, a.status, c.status, a.body)
		}
	}
	if a := s.do(s.request(http.MethodPost, "/v1/forms", token.AccessToken, "application/json", `{"refresh_token":"x","sealed":""}`), false); a.status != http.StatusUnauthorized {
		t.Errorf("with an access token instead of an assertion: status %d, want 401", a.status)
	}
	if keys, err := redis.Keys(t.Context(), "form:*").Result(); err != nil || len(keys) != 0 {
		t.Errorf("forms in Redis are %q, error %v; want none", keys, err)
	}
	kept := 0
	for range 12 {
		switch a := s.keepForm(token.RefreshToken, []byte("sealed")); a.status {
		case http.StatusNoContent:
			kept++
		case http.StatusTooManyRequests:
			if a.header.Get("Retry-After") == "" {
				t.Error("status 429 without Retry-After")
			}
		default:
			t.Errorf("keep: status %d, want 204 or 429: %s", a.status, a.body)
		}
	}
	if kept < 10 || kept == 12 {
		t.Errorf("%d of 12 forms kept, want 10 or 11", kept)
	}
}

func TestFormsWithoutTheirStore(t *testing.T) {
	s, redis, _ := stores(t, nil)
	token := s.register("fred@pond.test").Token
	if err := redis.Do(t.Context(), "CONFIG", "SET", "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	a := s.keepForm(token.RefreshToken, []byte("sealed"))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("keep: status %d, want 503 with Retry-After: %s", a.status, a.body)
	}
}
