package session_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"lilypad.example/services/auth/internal/session"
)

func parseRing(t *testing.T, text string) *session.Ring {
	t.Helper()
	ring, err := session.ParseRing([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestSealedTextOpensWithItsKeyLabelAndIDOnly(t *testing.T) {
	line := func(id string, fill byte) string {
		return id + " " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32)) + "\n"
	}
	old := parseRing(t, line("a", 1))
	sealed := old.Seal("tokens", "f1", []byte("secret"))
	if bytes.Contains(sealed, []byte("secret")) {
		t.Fatal("the text is readable")
	}
	both := parseRing(t, line("b", 2)+line("a", 1))
	if got, err := both.Open("tokens", "f1", sealed); err != nil || string(got) != "secret" {
		t.Errorf("after a change of the signing key: %q, %v; want the text", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, c := range map[string]struct {
		ring      *session.Ring
		label, id string
		sealed    []byte
		want      error
	}{
		"another id":       {old, "tokens", "f2", sealed, session.ErrMalformed},
		"another label":    {old, "forms", "f1", sealed, session.ErrMalformed},
		"changed":          {old, "tokens", "f1", changed, session.ErrMalformed},
		"cut":              {old, "tokens", "f1", sealed[:5], session.ErrMalformed},
		"empty":            {old, "tokens", "f1", nil, session.ErrMalformed},
		"the key is gone":  {parseRing(t, line("b", 2)), "tokens", "f1", sealed, session.ErrUnknownKey},
		"another key's id": {parseRing(t, line("a", 2)), "tokens", "f1", sealed, session.ErrMalformed},
	} {
		if got, err := c.ring.Open(c.label, c.id, c.sealed); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %q, %v; want %v", name, got, err, c.want)
		}
	}
	if bytes.Equal(sealed, old.Seal("tokens", "f1", []byte("secret"))) {
		t.Error("sealed twice with one nonce")
	}
}
