package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/signin"
)

// Flows is a signin.Flows with one expiring string per sign-in.
type Flows struct{ client redis.UniversalClient }

var _ signin.Flows = (*Flows)(nil)

// NewFlows returns Flows that are kept in client.
func NewFlows(client redis.UniversalClient) *Flows { return &Flows{client} }

// Keep implements signin.Flows.
func (f *Flows) Keep(ctx context.Context, key string, flow signin.Flow) error {
	text, err := json.Marshal(flow)
	if err != nil {
		return fmt.Errorf("keep flow: %w", err)
	}
	if err := f.client.Set(ctx, flowKey(key), text, signin.FlowLife).Err(); err != nil {
		return fmt.Errorf("%w: keep flow: %w", signin.ErrUnavailable, err)
	}
	return nil
}

// Take implements signin.Flows.
func (f *Flows) Take(ctx context.Context, key string) (flow signin.Flow, err error) {
	text, err := f.client.GetDel(ctx, flowKey(key)).Bytes()
	if err == nil {
		err = json.Unmarshal(text, &flow)
	}
	switch {
	case errors.Is(err, redis.Nil):
		return flow, signin.ErrUnknownFlow
	case err != nil:
		return flow, fmt.Errorf("%w: take flow: %w", signin.ErrUnavailable, err)
	}
	return flow, nil
}

func flowKey(key string) string { return "flow:" + key }
