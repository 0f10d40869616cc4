package postgres

import (
	"testing"

	"lilypad.example/services/auth/internal/session"
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

func TestSessions(t *testing.T) {
	storetest.Records(t, func(t *testing.T) (session.Records, [2]string) {
		s := openURL(t, pgtest.URL(t, Migrate))
		var ids [2]string
		for i, email := range []string{"mina@pond.example", "fred@pond.example"} {
			u := storetest.NewUser(t, email)
			if err := s.Create(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			ids[i] = u.ID
		}
		return s.Sessions(), ids
	})
}

func TestAccounts(t *testing.T) {
	storetest.Accounts(t, func(t *testing.T) (user.Store, session.Records) {
		users := openURL(t, pgtest.URL(t, Migrate))
		records := users.Sessions()
		return users, records
	})
}

func TestIdentities(t *testing.T) {
	storetest.Identities(t, func(t *testing.T) storetest.Federation {
		s := openURL(t, pgtest.URL(t, Migrate))
		return storetest.Federation{Users: s, Identities: s, Records: s.Sessions(), Sessions: s.Sessions()}
	})
}
