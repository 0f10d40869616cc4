package memory_test

import (
	"testing"

	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/frogs/internal/memory"
	"lilypad.example/services/frogs/internal/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) frog.Store { return memory.New() })
}
