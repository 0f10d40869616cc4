package redis_test

import (
	"errors"
	"strings"
	"testing"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/redistest"
)

func TestCheckTellsAWrongSettingFromARedisThatIsAway(t *testing.T) {
	guarded, open, stopped := redistest.StartTCP(t, "--requirepass", "tadpole"), redistest.StartTCP(t), redistest.StartTCP(t)
	stopped.Stop()
	full := redistest.StartTCP(t, "--maxclients", "1")
	for only := full.Client(t); only.Ping(t.Context()).Err() != nil; { // until it holds the only connection
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	for name, tt := range map[string]struct {
		url  string
		away bool
	}{
		"a wrong password":               {"redis://:newt@" + guarded.Addr(), false},
		"no password":                    {"redis://" + guarded.Addr(), false},
		"a database that is not there":   {"redis://" + open.Addr() + "/99", false},
		"a Cluster that is none":         {"redis+cluster://" + open.Addr(), false},
		"a wrong password of a Cluster":  {"redis+cluster://:newt@" + guarded.Addr(), false},
		"an unknown user":                {"redis://nobody:newt@" + open.Addr(), false},
		"evicts keys":                    {"redis://" + redistest.StartTCP(t, "--maxmemory-policy", "allkeys-lru").Addr(), false},
		"nobody listens":                 {"redis://" + stopped.Addr(), true},
		"nobody listens for a Cluster":   {"redis+cluster://" + stopped.Addr(), true},
		"nobody listens for Sentinel":    {"redis+sentinel://" + stopped.Addr() + "/lilypad", true},
		"a name that cannot be resolved": {"redis://redis.invalid:6379", true},
		"no room for another client":     {"redis://" + full.Addr(), true},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := redis.Open(tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			err = redis.Check(t.Context(), client)
			if err == nil || errors.Is(err, session.ErrUnavailable) != tt.away {
				t.Errorf("error %v, want an error that is session.ErrUnavailable: %t", err, tt.away)
			}
			if err != nil && (strings.Contains(err.Error(), "newt") || strings.Contains(err.Error(), "tadpole")) {
				t.Errorf("error shows a password: %v", err)
			}
		})
	}
}
