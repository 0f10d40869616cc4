package memory_test

import (
	"testing"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
)

func TestUsers(t *testing.T) {
	storetest.Users(t, func(*testing.T) user.Store { return new(memory.Users) })
}

func TestAccounts(t *testing.T) {
	storetest.Accounts(t, func(*testing.T) (user.Store, session.Records) { return memory.New() })
}

func TestIdentities(t *testing.T) {
	storetest.Identities(t, func(*testing.T) storetest.Federation {
		users, sessions := memory.New()
		return storetest.Federation{Users: users, Identities: users, Records: sessions, Sessions: sessions}
	})
}
