package postgres

import (
	"testing"

	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/pgtest"
)

func openURL(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestUsers(t *testing.T) {
	storetest.Users(t, func(t *testing.T) user.Store { return openURL(t, pgtest.URL(t, Migrate)) })
}
