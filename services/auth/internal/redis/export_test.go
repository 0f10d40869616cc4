package redis

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Connect calls Open and then Check.
func Connect(ctx context.Context, url string, roots *x509.CertPool) (redis.UniversalClient, error) {
	client, err := Open(url, roots)
	if err != nil {
		return nil, err
	}
	if err := Check(ctx, client); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}
