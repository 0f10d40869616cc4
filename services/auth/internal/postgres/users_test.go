package postgres_test

import (
	"testing"

	"lilypad.example/services/auth/internal/postgres"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/pgtest"
)

// open returns a Store on a fresh database.
func open(t *testing.T) *postgres.Store {
	t.Helper()
	return openURL(t, pgtest.URL(t, postgres.Migrate))
}

func openURL(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestUsers(t *testing.T) {
	storetest.Users(t, func(t *testing.T) user.Store { return open(t) })
}
