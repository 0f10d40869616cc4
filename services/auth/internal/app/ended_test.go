package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
)

// useEverywhere sends token to every endpoint that accepts access tokens according to the OpenAPI
// document, and returns the responses by endpoint. sid is the session ID in paths.
func (s *service) useEverywhere(token api.Token, sid string) map[string]answer {
	s.t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		s.t.Fatal(err)
	}
	answers := map[string]answer{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Security == nil || len(*operation.Security) != 1 {
				continue
			}
			if _, ok := (*operation.Security)[0]["accessToken"]; !ok {
				continue
			}
			contentType, body := "", ""
			if operation.RequestBody != nil { // only the change of the password has a body
				contentType, body = "application/json", `{"current_password":"`+password+`","new_password":"another pond full of newts"}`
			}
			target := strings.NewReplacer("{sid}", sid, "{claim}", "claim").Replace(path)
			if operation.Parameters.GetByInAndName("query", "sent") != nil {
				target += "?sent=true"
			}
			answers[method+" "+path] = s.do(s.request(method, target, token.AccessToken, contentType, body), false)
		}
	}
	if len(answers) < 7 {
		s.t.Fatalf("%d endpoints accept access tokens, want at least 7", len(answers))
	}
	return answers
}

func (s *service) mustRefuseEverywhere(token api.Token, sid string) {
	s.t.Helper()
	for endpoint, a := range s.useEverywhere(token, sid) {
		if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
			s.t.Errorf("%s: status %d, want 401 invalid_token: %s", endpoint, a.status, a.body)
		}
	}
}

// TestTheAccessTokenOfAnEndedSessionIsRefusedAtOnce ends one of a user's two sessions. From then on
// its access token must have no effect, especially not on the other session.
func TestTheAccessTokenOfAnEndedSessionIsRefusedAtOnce(t *testing.T) {
	s, redis, c := stores(t, nil)
	for name, end := range map[string]func(s *service, ended, other api.Token){
		"logout":     func(s *service, ended, _ api.Token) { s.revoke(ended.RefreshToken) },
		"all others": func(s *service, _, other api.Token) { s.bearer(http.MethodDelete, "/v1/sessions?others=true", other) },
		"by itself":  func(s *service, ended, _ api.Token) { s.bearer(http.MethodDelete, "/v1/sessions/"+ended.Sid, ended) },
		"from the other session": func(s *service, ended, other api.Token) {
			s.bearer(http.MethodDelete, "/v1/sessions/"+ended.Sid, other)
		},
		"reuse": func(s *service, ended, _ api.Token) {
			s.mustRefresh(s.mustRefresh(ended.RefreshToken).RefreshToken)
			s.mustBeEnded(ended.RefreshToken)
		},
		"only the stream tells": func(s *service, ended, _ api.Token) {
			if err := redis.XAdd(s.t.Context(), &goredis.XAddArgs{Stream: "revocations", Values: []string{"sid", ended.Sid, "reason", "reuse"}}).Err(); err != nil {
				s.t.Fatal(err)
			}
			eventually(s.t, "the revocation has reached the verifier", func() bool {
				return s.bearer(http.MethodGet, "/v1/me", ended).status == http.StatusUnauthorized
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{t: t, url: s.url, issuer: s.issuer, key: s.key, router: s.router, logs: s.logs}
			email := strings.ReplaceAll(name, " ", "-") + "@pond.test"
			ended := s.register(email).Token
			other := decode[api.Session](t, s.login(email, password).body).Token
			end(s, ended, other)
			s.mustRefuseEverywhere(ended, other.Sid)
			s.mustBeInactive("introspection", "app", ended.AccessToken)
			s.mustRefresh(other.RefreshToken)
		})
	}
	t.Run("everything of a disabled user", func(t *testing.T) {
		token := s.register("disabled@pond.test").Token
		setDisabled(t, c, "disabled@pond.test", true)
		s.mustRefuseEverywhere(token, token.Sid)
	})
}

// TestTheAccessTokenOfAnEndedSessionIsRefusedWhileRedisIsAway ends a session while the revocation
// feed does not work.
func TestTheAccessTokenOfAnEndedSessionIsRefusedWhileRedisIsAway(t *testing.T) {
	c, key := settings(t, t.TempDir())
	redis := redistest.Start(t)
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret(redis.URL())
	s := start(t, c, key)
	ended, alive := s.register("fred@pond.test").Token, s.register("mina@pond.test").Token
	redis.Stop()
	setDisabled(t, c, "fred@pond.test", true)
	s.mustRefuseEverywhere(ended, ended.Sid)
	if a := s.bearer(http.MethodGet, "/v1/me", alive); a.status != http.StatusOK {
		t.Errorf("active session: status %d, want 200: %s", a.status, a.body)
	}
}
