package log_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/pkg/log"
)

func TestTimesAreUTC(t *testing.T) {
	zone := time.Local
	time.Local = time.FixedZone("far", 5*3600)
	defer func() { time.Local = zone }()
	var out strings.Builder
	logger, err := log.New(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	logger.With("a", 1).WithGroup("g").Info("croak", "b", 2)
	var line struct {
		Time string
		A    int
		G    struct{ B int }
	}
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(line.Time, "Z") || line.A != 1 || line.G.B != 2 {
		t.Errorf("line %s, want a time in UTC, a=1 and g.b=2", out.String())
	}
}

func TestUnknownSettingsAreNamed(t *testing.T) {
	for _, c := range []struct{ level, format string }{{"loud", "json"}, {"info", "xml"}} {
		if _, err := log.New(nil, c.level, c.format); err == nil || !strings.Contains(err.Error(), "none of") && !strings.Contains(err.Error(), "neither") {
			t.Errorf("%+v: error %v, want one that lists the valid values", c, err)
		}
	}
}
