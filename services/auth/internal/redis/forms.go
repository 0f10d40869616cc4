package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/form"
)

var (
	//go:embed claim.lua
	claimSource string
	//go:embed settle.lua
	settleSource string
)

// Forms is a form.Store with one expiring string per form and one per claim.
type Forms struct {
	client        redis.UniversalClient
	claim, settle *redis.Script
}

var _ form.Store = (*Forms)(nil)

// NewForms returns Forms that are kept in client.
func NewForms(client redis.UniversalClient) *Forms {
	return &Forms{client, redis.NewScript(claimSource), redis.NewScript(settleSource)}
}

// Keep implements form.Store.
func (f *Forms) Keep(ctx context.Context, k form.Key, sealed []byte) error {
	_, err := f.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, formKey(k), sealed, form.Life)
		p.Del(ctx, claimKey(k))
		return nil
	})
	return formError("keep", err)
}

// Get implements form.Store.
func (f *Forms) Get(ctx context.Context, k form.Key) ([]byte, error) {
	sealed, err := f.client.Get(ctx, formKey(k)).Bytes()
	return sealed, formError("get", err)
}

// Claim implements form.Store.
func (f *Forms) Claim(ctx context.Context, k form.Key, id string) ([]byte, error) {
	got, err := f.claim.Run(ctx, f.client, []string{formKey(k), claimKey(k)}, id, form.ClaimLife.Milliseconds()).Result()
	if err != nil {
		return nil, formError("claim", err)
	}
	sealed, ok := got.(string)
	if !ok {
		return nil, form.ErrClaimed
	}
	return []byte(sealed), nil
}

// Settle implements form.Store.
func (f *Forms) Settle(ctx context.Context, k form.Key, id string, sent bool) error {
	return formError("settle", f.settle.Run(ctx, f.client, []string{formKey(k), claimKey(k)}, id, sent).Err())
}

// Discard implements form.Store.
func (f *Forms) Discard(ctx context.Context, k form.Key) error {
	return formError("discard", f.client.Del(ctx, formKey(k), claimKey(k)).Err())
}

// formError converts an error of Redis to an error of form.Store, and nil to nil.
func formError(step string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.Nil):
		return form.ErrNotFound
	}
	return fmt.Errorf("%w: %s: %w", form.ErrUnavailable, step, err)
}

func formKey(k form.Key) string { return "form:{" + string(k.Session) + "}:" + k.Subject }

func claimKey(k form.Key) string { return "claim:{" + string(k.Session) + "}:" + k.Subject }
