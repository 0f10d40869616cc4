package memory_test

import (
	"testing"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
)

func TestUsers(t *testing.T) {
	storetest.Users(t, func(*testing.T) user.Store { return new(memory.Users) })
}
