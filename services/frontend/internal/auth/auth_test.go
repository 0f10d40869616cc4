package auth_test

import (
	"errors"
	"strings"
	"testing"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/auth"
	"lilypad.example/services/frontend/internal/fakes"
	"lilypad.example/services/frontend/internal/upstream"
)

func TestOnlyTheShapeOfASessionsIDGoesIntoAnAddress(t *testing.T) {
	if id := fakes.SessionID("x"); !api.ValidSessionID(id) {
		t.Errorf("ValidSessionID(%q) is false, want true", id)
	}
	nobody := auth.New("http://127.0.0.1:9")
	for _, id := range []string{
		"", "x", "..", "../me/password", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 21) + "B", // the last has non-zero trailing bits
		strings.Repeat("A", 21) + "/", strings.Repeat("A", 21) + "=", strings.Repeat("A", 21) + "\n", strings.Repeat("A", 20) + "\r\n",
		"?others=true" + strings.Repeat("A", 10), strings.Repeat("A", 20) + "%2", strings.Repeat("+", 22), strings.Repeat("é", 11),
	} {
		if api.ValidSessionID(id) {
			t.Errorf("ValidSessionID(%q) is true, want false", id)
		}
		if err := nobody.End(t.Context(), id); !errors.Is(err, upstream.ErrNotFound) {
			t.Errorf("End(%q): %v, want ErrNotFound without a call", id, err)
		}
	}
}
