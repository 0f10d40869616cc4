package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"lilypad.example/services/auth/api"
)

func (s *service) introspect(client, token string) answer {
	s.t.Helper()
	return s.form("/oauth2/introspect", url.Values{
		"token": {token}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion(client)},
	}, false)
}

// mustBeInactive checks that the response has active=false and no other member (RFC 7662 section
// 2.2).
func (s *service) mustBeInactive(name, client, token string) {
	s.t.Helper()
	if a := s.introspect(client, token); a.status != http.StatusOK || strings.TrimSpace(string(a.body)) != `{"active":false}` {
		s.t.Errorf("%s: status %d, want 200 and only active=false: %s", name, a.status, a.body)
	}
}

func TestIntrospectionTellsTheClientsAboutLiveTokensOnly(t *testing.T) {
	s := embedded(t)
	begun := s.register("fred@pond.test")
	mustBeActive := func(name, client, token, kind string) {
		t.Helper()
		a := s.introspect(client, token)
		got := decode[api.Introspection](t, a.body)
		if a.status != http.StatusOK || !got.Active || *got.Sub != begun.User.Sub || *got.Sid != begun.Token.Sid || *got.ClientId != "app" || *got.Iss != s.issuer || *got.Exp == 0 {
			t.Errorf("%s: status %d, want 200 and an active token of the session: %s", name, a.status, a.body)
		}
		if (got.TokenType != nil) != (kind == "access") || (got.Roles != nil) != (kind == "access") {
			t.Errorf("%s: want token_type and roles for access tokens only: %s", name, a.body)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: header %v, want Cache-Control: no-store", name, a.header)
		}
	}
	old := begun.Token
	mustBeActive("access token", "app", old.AccessToken, "access")
	mustBeActive("access token, to another client", "other", old.AccessToken, "access")
	mustBeActive("refresh token", "app", old.RefreshToken, "refresh")
	s.mustBeInactive("refresh token, to another client", "other", old.RefreshToken)
	s.mustBeInactive("nonsense", "app", "nonsense")
	s.mustBeInactive("forged refresh token", "app", old.RefreshToken[:len(old.RefreshToken)-4]+"AAAA")
	s.mustBeInactive("forged access token", "app", old.AccessToken[:len(old.AccessToken)-4]+"AAAA")

	next := s.mustRefresh(old.RefreshToken)
	s.mustBeInactive("replaced refresh token", "app", old.RefreshToken)
	mustBeActive("its successor", "app", next.RefreshToken, "refresh")
	// Introspection does not use the token, so presenting its predecessor is not reuse.
	s.mustRefresh(old.RefreshToken)

	s.revoke(next.RefreshToken)
	for name, token := range map[string]string{
		"refresh token": next.RefreshToken, "access token": next.AccessToken, "older access token": old.AccessToken,
	} {
		s.mustBeInactive(name+" of an ended session", "app", token)
	}
}

func TestIntrospectionIsForClients(t *testing.T) {
	s := embedded(t)
	token := s.register("fred@pond.test").Token.AccessToken
	for name, tt := range map[string]struct {
		values url.Values
		status int
		code   string
	}{
		"nobody":    {url.Values{"token": {token}}, http.StatusUnauthorized, "invalid_client"},
		"a forger":  {url.Values{"token": {token}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {"a.b.c"}}, http.StatusUnauthorized, "invalid_client"},
		"a user":    {url.Values{"token": {token}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {token}}, http.StatusUnauthorized, "invalid_client"},
		"no token":  {url.Values{"client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")}}, http.StatusBadRequest, "invalid_request"},
		"two of it": {url.Values{"token": {token, token}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")}}, http.StatusBadRequest, "invalid_request"},
	} {
		if a := s.form("/oauth2/introspect", tt.values, true); a.status != tt.status || oauthCode(t, a) != tt.code {
			t.Errorf("%s: status %d, want %d %s: %s", name, a.status, tt.status, tt.code, a.body)
		}
	}
}
