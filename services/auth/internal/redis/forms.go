package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/form"
)

// Forms is a form.Store: a string a form, which expires by itself.
type Forms struct{ client redis.UniversalClient }

var _ form.Store = (*Forms)(nil)

// NewForms returns the forms in client.
func NewForms(client redis.UniversalClient) *Forms { return &Forms{client} }

// Keep implements form.Store.
func (f *Forms) Keep(ctx context.Context, k form.Key, sealed []byte) error {
	if err := f.client.Set(ctx, formKey(k), sealed, form.Life).Err(); err != nil {
		return fmt.Errorf("%w: keep: %w", form.ErrUnavailable, err)
	}
	return nil
}

// Get implements form.Store.
func (f *Forms) Get(ctx context.Context, k form.Key) ([]byte, error) {
	return found("get", f.client.Get(ctx, formKey(k)))
}

// Take implements form.Store.
func (f *Forms) Take(ctx context.Context, k form.Key) ([]byte, error) {
	return found("take", f.client.GetDel(ctx, formKey(k)))
}

func found(step string, c *redis.StringCmd) ([]byte, error) {
	sealed, err := c.Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, form.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", form.ErrUnavailable, step, err)
	}
	return sealed, nil
}

func formKey(k form.Key) string { return "form:{" + string(k.Session) + "}:" + k.Subject }
