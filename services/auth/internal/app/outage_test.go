package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
)

// isUnavailable reports whether the response is 503 with Retry-After.
func isUnavailable(a answer) bool {
	return a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
}

// wantUp waits until dependency_up of a store has the value, and checks that the service is ready
// in any case.
func (s *service) wantUp(store, value string) {
	s.t.Helper()
	eventually(s.t, "dependency_up of "+store+" is "+value, func() bool {
		_, metrics := s.opsGet("/metrics")
		return strings.Contains(metrics, `dependency_up{dependency="`+store+`"} `+value+"\n")
	})
	if status := s.opsStatus("/readyz"); status != http.StatusOK {
		s.t.Errorf("dependency_up of %s is %s: /readyz has status %d, want 200", store, value, status)
	}
}

// wantLines checks how often the log reports that a store became unreachable and reachable again.
func (s *service) wantLines(store string, gone, back int) {
	s.t.Helper()
	log := s.logs.String()
	if n := strings.Count(log, `"dependency unreachable, trying again","dependency":"`+store); n != gone {
		s.t.Errorf("%d log lines report %s as unreachable, want %d", n, store, gone)
	}
	if n := strings.Count(log, `"dependency reachable","dependency":"`+store); n != back {
		s.t.Errorf("%d log lines report %s as reachable, want %d", n, store, back)
	}
}

func TestWithoutPostgresTheServiceIsReadyAndSessionsGoOn(t *testing.T) {
	c, key := settings(t, t.TempDir())
	postgres := pgtest.StartServer(t)
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(postgres.URL()), config.NewSecret(redistest.Start(t).URL())
	s := start(t, c, key)
	token := s.register("fred@pond.test").Token.RefreshToken
	s.wantUp("postgres", "1")
	for range 2 {
		postgres.Stop()
		s.wantUp("postgres", "0")
		s.wantUp("redis", "1")
		if a := s.login("fred@pond.test", password); !isUnavailable(a) {
			t.Errorf("login: status %d, want 503 with Retry-After: %s", a.status, a.body)
		}
		for range 2 {
			next := s.mustRefresh(token).RefreshToken
			if next == token {
				t.Error("refresh returned the same token, want a new one")
			}
			token = next
		}
		if a := s.jwks(); a.status != http.StatusOK {
			t.Errorf("JWKS: status %d, want 200: %s", a.status, a.body)
		}
		postgres.Start(t)
		s.wantUp("postgres", "1")
		eventually(t, "a login succeeds again", func() bool { return s.login("fred@pond.test", password).status == http.StatusCreated })
	}
	s.wantLines("postgres", 2, 2)
	s.wantLines("redis", 0, 0)
}

func TestWithoutRedisTheServiceIsReadyAndAsksForPatience(t *testing.T) {
	c, key := settings(t, t.TempDir())
	redis := redistest.Start(t)
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret(redis.URL())
	s := start(t, c, key)
	begun, stays := s.register("fred@pond.test"), s.register("mina@pond.test")
	redis.Stop()
	for name, a := range map[string]answer{"refresh": s.refresh("app", begun.Token.RefreshToken), "revoke": s.revoke(begun.Token.RefreshToken), "login": s.login("fred@pond.test", password)} {
		if !isUnavailable(a) {
			t.Errorf("%s: status %d, want 503 with Retry-After: %s", name, a.status, a.body)
		}
	}
	s.wantUp("redis", "0")
	if a := s.jwks(); a.status != http.StatusOK {
		t.Errorf("JWKS: status %d, want 200: %s", a.status, a.body)
	}
	redis.Start(t)
	s.wantUp("redis", "1")
	eventually(t, "a login succeeds again", func() bool { return s.login("fred@pond.test", password).status == http.StatusCreated })
	s.mustRefresh(stays.Token.RefreshToken)
	// The logout failed with 503, but its tombstone was recorded.
	s.mustBeEnded(begun.Token.RefreshToken)
	s.wantLines("redis", 1, 1)
}

func TestTheServiceWaitsForStoresThatAreNotThereYet(t *testing.T) {
	postgres, redis := pgtest.StartServer(t), redistest.StartTCP(t)
	stores := map[string]interface {
		Stop()
		Start(t testing.TB)
	}{"postgres": postgres, "redis": redis}
	for name, missing := range map[string][]string{"both": {"postgres", "redis"}, "postgres": {"postgres"}, "redis": {"redis"}} {
		t.Run(name, func(t *testing.T) {
			c, key := settings(t, t.TempDir())
			c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(postgres.URL()), config.NewSecret(redis.URL())
			for _, store := range missing {
				stores[store].Stop()
			}
			s := launch(t, c, key)
			for _, store := range missing {
				eventually(t, store+" is logged as unreachable", func() bool {
					return strings.Contains(s.logs.String(), `"dependency unreachable, trying again","dependency":"`+store+`","ready":false`)
				})
			}
			if live, ready := s.opsStatus("/livez"), s.opsStatus("/readyz"); live != http.StatusOK || ready != http.StatusServiceUnavailable {
				t.Errorf("/livez has status %d, want 200; /readyz has status %d, want 503", live, ready)
			}
			if a := s.login("fred@pond.test", password); !isUnavailable(a) {
				t.Errorf("login: status %d, want 503 with Retry-After: %s", a.status, a.body)
			}
			for _, store := range missing {
				stores[store].Start(t)
			}
			eventually(t, "the service is ready", func() bool { return s.opsStatus("/readyz") == http.StatusOK })
			s.mustRefresh(s.register(name + "@pond.test").Token.RefreshToken) // the schema exists
			for _, store := range missing {
				s.wantLines(store, 1, 1)
			}
		})
	}
}

func TestAServiceThatWaitsEndsWhenItIsTold(t *testing.T) {
	c, _ := settings(t, t.TempDir())
	redis := redistest.Start(t)
	redis.Stop()
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret(redis.URL())
	ctx, cancel := context.WithCancel(t.Context())
	var logs buffer
	a, err := app.New(ctx, c, slog.New(slog.NewJSONHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	eventually(t, "a dependency is logged as unreachable", func() bool { return strings.Contains(logs.String(), "dependency unreachable") })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

// refusingStores sets c to stores that are reachable but refuse the service.
func refusingStores(t *testing.T, c *app.Config) {
	t.Helper()
	u, err := url.Parse(pgtest.URL(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody", "hunter2")
	c.Store, c.DatabaseURL = "external", config.NewSecret(u.String())
	c.RedisURL = config.NewSecret(redistest.Start(t, "--maxmemory-policy", "allkeys-lru").URL())
}

func TestStoresThatRefuseTheServiceEndItWithAllTheirFaults(t *testing.T) {
	c, _ := settings(t, t.TempDir())
	refusingStores(t, c)
	a, err := app.New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	err = a.Run(t.Context())
	for _, want := range []string{"postgres: ", "nobody", "redis: ", "noeviction"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in error: %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error contains a password: %v", err)
	}
}

func TestOtherFaultsAreReportedWithThoseOfTheStores(t *testing.T) {
	for name, tt := range map[string]struct {
		stores func(*testing.T, *app.Config)
		want   []string
	}{
		"refuse us": {refusingStores, []string{"nobody", "noeviction"}},
		"away": {func(t *testing.T, c *app.Config) {
			t.Helper()
			postgres, redis := pgtest.StartServer(t), redistest.Start(t)
			postgres.Stop()
			redis.Stop()
			c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(postgres.URL()), config.NewSecret(redis.URL())
		}, []string{"redis is not reachable", "postgres: "}},
		"no URLs": {func(_ *testing.T, c *app.Config) {
			c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret("postgres://u:hunter2@%zz/"), config.NewSecret("redis://:hunter2@%zz")
		}, []string{"redis URL: ", "postgres: "}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := settings(t, t.TempDir())
			tt.stores(t, c)
			if err := os.WriteFile(c.RingKeysFile, []byte("short AAAA\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := app.New(t.Context(), c, slog.New(slog.DiscardHandler))
			for _, want := range append(tt.want, "3 bytes, want 32") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("want %s in error: %v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error contains a password: %v", err)
			}
		})
	}
}
