package redis_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/pkg/redistest"
	"lilypad.example/services/pkg/storetls"
	"lilypad.example/services/pkg/tlstest"
)

func TestTLSIsVerifiedByTheAuthorityThatIsSet(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	alone, cluster, elsewhere := redistest.StartTLS(t, ca), redistest.StartTLSCluster(t, ca), redistest.StartTLS(t, ca, "192.0.2.1")
	sentinel := "rediss+" + strings.TrimPrefix(redistest.StartTLSSentinel(t, ca, alone).URL(), "redis+")
	private, another := roots(t, ca), roots(t, tlstest.NewCA(t))
	for _, c := range []struct {
		name, url string
		roots     *x509.CertPool
		want      string // part of the error, or empty
	}{
		{"one server", "rediss://" + alone.Addr(), private, ""},
		{"one server, of another authority", "rediss://" + alone.Addr(), another, "signed by unknown authority"},
		{"one server, of no public authority", "rediss://" + alone.Addr(), nil, "signed by unknown authority"},
		{"one server, with another's certificate", "rediss://" + elsewhere.Addr(), private, "certificate is valid for 192.0.2.1"},
		{"a Cluster", "rediss+cluster://" + cluster.Addr(), private, ""},
		{"a Cluster, of no public authority", "rediss+cluster://" + cluster.Addr(), nil, "signed by unknown authority"},
		{"behind a Sentinel", sentinel, private, ""},
		{"behind a Sentinel, of no public authority", sentinel, nil, "signed by unknown authority"},
	} {
		client, err := redis.Connect(t.Context(), c.url, c.roots)
		if err == nil {
			err = errors.Join(client.Set(t.Context(), "key", "value", 0).Err(), client.Close())
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q in it (none if empty)", c.name, err, c.want)
		}
	}
}

func TestAnAuthorityWithoutTLSIsRefused(t *testing.T) {
	private := roots(t, tlstest.NewCA(t))
	for _, url := range []string{"redis://a:1", "unix:///tmp/s", "redis+sentinel://a:1/m", "redis+cluster://a:1"} {
		if _, err := redis.Connect(t.Context(), url, private); !errors.Is(err, storetls.ErrPlain) {
			t.Errorf("%s: error %v, want %v", url, err, storetls.ErrPlain)
		}
	}
}

func roots(t *testing.T, ca *tlstest.CA) *x509.CertPool {
	t.Helper()
	pool, err := storetls.Roots(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}
