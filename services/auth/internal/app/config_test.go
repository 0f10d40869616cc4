package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/pkg/config"
)

func TestFaultsThatNeedNoConnectionAreAllFoundBeforeOne(t *testing.T) {
	nonsense := filepath.Join(t.TempDir(), "nonsense")
	if err := os.WriteFile(nonsense, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*app.Config)
		want   []string
	}{
		"URLs": {func(c *app.Config) {
			c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret("postgres://u:hush@host:port/db"), config.NewSecret("localhost:6379")
			c.Issuer = "nowhere"
		}, []string{"LILYPAD_DATABASE_URL: ", "LILYPAD_REDIS_URL: redis URL: want redis://", "LILYPAD_ISSUER"}},
		"keywords": {func(c *app.Config) {
			c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret("localhost:5432/auth"), config.NewSecret("redis+sentinel://:hush@host:26379")
		}, []string{"LILYPAD_DATABASE_URL: ", "LILYPAD_REDIS_URL: redis URL: redis+sentinel:// needs the primary's name"}},
		"authorities": {func(c *app.Config) {
			c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret("postgres://host/db"), config.NewSecret("rediss://host:6379")
			c.DatabaseCAFile, c.RedisCAFile = "/nowhere", nonsense
		}, []string{"LILYPAD_DATABASE_CA_FILE: open /nowhere", "LILYPAD_REDIS_CA_FILE: " + nonsense}},
		"files": {func(c *app.Config) {
			c.SigningKeysFile, c.RingKeysFile, c.ClientKeysFile, c.EmbeddedUsersFile = "/nowhere", nonsense, nonsense, nonsense
		}, []string{"LILYPAD_SIGNING_KEYS_FILE: ", "LILYPAD_RING_KEYS_FILE: ", "LILYPAD_CLIENT_KEYS_FILE: ", "LILYPAD_EMBEDDED_USERS_FILE: "}},
		"addresses": {func(c *app.Config) { c.Listen, c.OpsListen = "8080", ":99999" }, []string{"LILYPAD_LISTEN: ", "LILYPAD_OPS_LISTEN: "}},
		"an interval below the overlap": {func(c *app.Config) {
			c.MinRotationInterval = c.Overlap - time.Second
		}, []string{"LILYPAD_MIN_ROTATION_INTERVAL must be at least LILYPAD_OVERLAP"}},
	} {
		t.Run(name, func(t *testing.T) {
			settings, _ := settings(t, t.TempDir())
			c.change(settings)
			err := settings.Check()
			if err == nil {
				t.Fatal("Check returned nil, want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in error:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error contains a password:\n%v", err)
			}
		})
	}
}

func TestGoodSettingsOfStoresPassWithoutAConnection(t *testing.T) {
	for _, redis := range []string{"redis://:hush@redis.invalid:6379", "redis+sentinel://a.invalid:1,b.invalid:2/name", "redis+cluster://a.invalid:1", "rediss://a.invalid:1"} {
		c, _ := settings(t, t.TempDir())
		c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret("postgres://u:hush@a.invalid,b.invalid/db?pool_max_conns=3"), config.NewSecret(redis)
		if err := c.Check(); err != nil {
			t.Errorf("%s: error %v, want nil", redis, err)
		}
	}
}

func TestTheRotationIntervalIsTheOverlapAtLeastOrNone(t *testing.T) {
	for _, interval := range []time.Duration{0, 10 * time.Second, time.Minute} {
		c, _ := settings(t, t.TempDir())
		c.MinRotationInterval = interval
		if err := c.Check(); err != nil {
			t.Errorf("interval %s with overlap %s: error %v, want nil", interval, c.Overlap, err)
		}
	}
}
