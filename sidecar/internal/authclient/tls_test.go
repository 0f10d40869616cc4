package authclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/authclient"
)

// The image contains no certificates. The certificate of an https auth service is verified with
// those mounted where crypto/x509 looks for them (SSL_CERT_FILE or /etc/ssl/certs), and with no
// others. No other test of this process may load them, because crypto/x509 does so once.
func TestAnAuthServiceIsVerifiedWithTheCertificatesThatAreMounted(t *testing.T) {
	known := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer known.Close()
	file := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: known.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	confirm := func(url string) error {
		c, err := authclient.New(url, noAssertion{}, authclient.Transport(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return c.Confirm(t.Context(), []string{"token"})
	}
	if err := confirm(known.URL); err != nil {
		t.Errorf("server with a mounted certificate: %v", err)
	}
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.TLS = selfSigned(t)
	stranger.StartTLS()
	defer stranger.Close()
	if err := confirm(stranger.URL); !errors.Is(err, authclient.ErrUnavailable) {
		t.Errorf("server with an unknown certificate: error %v, want ErrUnavailable", err)
	}
}

// selfSigned returns a configuration with a self-signed certificate for 127.0.0.1.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13}
}
