package audit_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

const userID = "0192f5a0-7c3e-7b1d-9e9a-3f6d2a1b4c5d"

// now returns a time that is not in UTC.
func now() time.Time {
	return time.Date(2026, 11, 23, 13, 30, 0, 0, time.FixedZone("east", 3600))
}

// record writes an event and returns the line and its decoded fields.
func record(t *testing.T, event audit.Event, attrs ...audit.Attr) (string, map[string]any) {
	t.Helper()
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelError}))
	audit.New(log, now).Record(t.Context(), event, attrs...)
	var fields map[string]any
	if err := json.Unmarshal(b.Bytes(), &fields); err != nil {
		t.Fatalf("line %q is not JSON: %v", b.String(), err)
	}
	if strings.Count(b.String(), "\n") != 1 {
		t.Fatalf("want one line, got %q", b.String())
	}
	return b.String(), fields
}

func TestARecordSaysWhenWhoWhatAndTheResult(t *testing.T) {
	_, got := record(t, audit.UserLoginFailed,
		audit.User(userID), audit.Session("family"), audit.Client("frontend/sidecar"), audit.Address("2001:db8::7"), audit.Reason(user.CauseWrongPassword))
	want := map[string]any{
		"time": "2026-11-23T12:30:00Z", "level": "INFO", "msg": "audit", "event": "user.login_failed", "result": "failure",
		"user_id": userID, "sid_hash": got["sid_hash"], "client_id": "frontend/sidecar", "address": "2001:db8::7", "reason": "wrong_password",
	}
	if len(got) != len(want) {
		t.Errorf("%v, want the fields of %v and no others", got, want)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s %v, want %v", key, got[key], value)
		}
	}
	if hash, _ := got["sid_hash"].(string); len(hash) != 16 || strings.Contains(hash, "family") {
		t.Errorf("sid_hash %v, want 16 digits that do not contain the family", got["sid_hash"])
	}
}

func TestSessionsOfOneFamilyHaveOneHash(t *testing.T) {
	_, one := record(t, audit.SessionBegun, audit.Session("a"))
	_, same := record(t, audit.SessionEnded, audit.Session("a"))
	_, other := record(t, audit.SessionEnded, audit.Session("b"))
	if one["sid_hash"] != same["sid_hash"] || one["sid_hash"] == other["sid_hash"] {
		t.Fatalf("hashes %v and %v of one family, %v of another: want the first two equal and the third different", one["sid_hash"], same["sid_hash"], other["sid_hash"])
	}
}

func TestEmptyAttributesAreLeftOut(t *testing.T) {
	_, got := record(t, audit.UserLoginFailed,
		audit.User(""), audit.Session(""), audit.Client(""), audit.Address(""), audit.Reason(session.Reason("")), audit.Attr{})
	if len(got) != 5 {
		t.Fatalf("%v, want no attribute besides the five that every record has", got)
	}
}

func TestNothingSecretCanBeWritten(t *testing.T) {
	for name, secret := range map[string]string{
		"a password":             "walnut quay zephyr",
		"a password of one word": "walnutquayzephyr",
		"an e-mail address":      "mina@pond.example",
		"a refresh token":        "v1.k1.Zm9vYmFyYmF6cXV4.17.bWFjbWFjbWFjbWFjbWFjbWFjbWFj",
		"an access token":        strings.Repeat("eyJhbGciOiJFUzI1NiJ9.", 10),
		"a forged line":          "x\r\n{\"event\":\"user.login\"}",
		"an upper-case UUID":     strings.ToUpper(userID),
		"a scoped address":       "fe80::1%walnut",
	} {
		line, _ := record(t, audit.UserLogin, audit.User(secret), audit.Session(secret), audit.Address(secret), audit.Reason(session.Reason(secret)))
		if strings.Contains(line, secret) || strings.Contains(line, "walnut") || strings.Contains(line, `\n`) {
			t.Errorf("%s was written: %s; want it omitted or invalid", name, line)
		}
	}
	for _, secret := range []string{"walnut quay zephyr", "mina@pond.example", "x\r\ny", strings.Repeat("a", 129)} {
		if line, got := record(t, audit.ClientRefused, audit.Client(secret)); got["client_id"] != "invalid" {
			t.Errorf("%s, want client_id invalid", line)
		}
	}
}

func TestEventsHaveDifferentNames(t *testing.T) {
	var names []string
	for e := audit.Event(1); e.String() != "unknown"; e++ {
		if slices.Contains(names, e.String()) {
			t.Errorf("two events are named %s", e)
		}
		names = append(names, e.String())
	}
	if last := audit.ClientRefused; len(names) != int(last) {
		t.Fatalf("%d events have a name, want %d", len(names), last)
	}
	if audit.Event(0).String() != "unknown" {
		t.Fatal("the zero event has a name, want unknown")
	}
}

func TestReasonsAreWrittenByName(t *testing.T) {
	attrs := map[string]audit.Attr{"logout": audit.Reason(session.ReasonLogout)}
	for c := user.CauseUnknownUser; c <= user.CauseDisabled; c++ {
		attrs[c.String()] = audit.Reason(c)
	}
	for _, limit := range ratelimit.All() {
		attrs[limit.String()] = audit.Reason(limit)
	}
	for want, attr := range attrs {
		if _, got := record(t, audit.LimitExceeded, attr); got["reason"] != want {
			t.Errorf("reason %v, want %s", got["reason"], want)
		}
	}
}
