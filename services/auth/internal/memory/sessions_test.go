package memory_test

import (
	"testing"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/storetest"
)

func TestSessions(t *testing.T) {
	storetest.Records(t, func(*testing.T) (session.Records, [2]string) {
		return new(memory.Sessions), [2]string{"01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"}
	})
}
