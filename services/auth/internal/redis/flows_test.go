package redis_test

import (
	"testing"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/redistest"
)

func TestFlowsOnRedis(t *testing.T) {
	client := redistest.New(t)
	storetest.Flows(t, redis.NewFlows(client))
	f := redis.NewFlows(client)
	if err := f.Keep(t.Context(), "expires", signin.Flow{}); err != nil {
		t.Fatal(err)
	}
	if life, err := client.PTTL(t.Context(), "flow:expires").Result(); err != nil || life <= 0 || life > signin.FlowLife {
		t.Errorf("life %v, %v; want at most %v", life, err, signin.FlowLife)
	}
}

func TestFlowsOnMiniredis(t *testing.T) {
	_, client := redistest.Mini(t)
	storetest.Flows(t, redis.NewFlows(client))
}
