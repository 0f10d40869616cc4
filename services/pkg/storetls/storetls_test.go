package storetls_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/storetls"
	"lilypad.example/services/pkg/tlstest"
)

func parse(t *testing.T, connection string) *pgconn.Config {
	t.Helper()
	c, err := pgconn.ParseConfig(connection)
	if err != nil {
		t.Fatal(err)
	}
	storetls.Postgres(c)
	return c
}

// ways returns the TLS settings of all attempts with which c connects.
func ways(c *pgconn.Config) []*tls.Config {
	all := []*tls.Config{c.TLSConfig}
	for _, f := range c.Fallbacks {
		all = append(all, f.TLSConfig)
	}
	return all
}

func TestPostgresIsPlainOrVerifiedForItsName(t *testing.T) {
	ca := tlstest.NewCA(t)
	for _, mode := range []string{"", "sslmode=allow", "sslmode=prefer", "sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", "ssl=true", "sslmode=require&sslsni=0", "sslmode=require&sslrootcert=" + ca.File} {
		c := parse(t, "postgres://u:p@one.example,two.example:7/d?"+mode)
		got := ways(c)
		if len(got) != 2 {
			t.Errorf("%q: %d ways to connect, want one to each host", mode, len(got))
		}
		for i, way := range got {
			if way == nil || way.InsecureSkipVerify || way.VerifyPeerCertificate != nil || way.ServerName != [...]string{"one.example", "two.example"}[i] {
				t.Errorf("%q: way %d is %+v, want one that is verified", mode, i, way)
			}
		}
	}
	for _, plain := range []string{"postgres://u:p@one.example/d?sslmode=disable", "postgres:///d?host=/run/postgresql", "host=one.example,two.example sslmode=disable"} {
		for _, way := range ways(parse(t, plain)) {
			if way != nil {
				t.Errorf("%s: TLS %+v, want none", plain, way)
			}
		}
	}
	// A socket and a host in one list do not affect each other.
	if got := ways(parse(t, "host=/run/postgresql,one.example sslmode=prefer")); len(got) != 2 || got[0] != nil || got[1] == nil {
		t.Errorf("a socket and a host: %v, want one without TLS and one with TLS", got)
	}
}

func TestTheFileOfTheAuthorityBecomesPartOfTheURL(t *testing.T) {
	ca := tlstest.NewCA(t)
	odd := t.TempDir() + `/it's a \ & b.pem`
	text, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(odd, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, connection := range []string{"postgres://u:p@h/d", "postgresql://u@h/d?pool_max_conns=2", "postgres://u@h/d?sslrootcert=/nowhere", "host=h user=u"} {
		for _, file := range []string{ca.File, odd} {
			with, err := storetls.PostgresURL(connection, file)
			if err != nil {
				t.Errorf("%s with %s: error %v, want none", connection, file, err)
				continue
			}
			if c := parse(t, with); c.TLSConfig.RootCAs == nil {
				t.Errorf("%s: no RootCAs, want those of the file", with)
			}
		}
		if same, err := storetls.PostgresURL(connection, ""); same != connection || err != nil {
			t.Errorf("without a file: %s, error %v, want %s unchanged", same, err, connection)
		}
	}
	if _, err := storetls.PostgresURL("postgres://u:tadpole@h/d?sslmode=disable", ca.File); !errors.Is(err, storetls.ErrPlain) {
		t.Errorf("an authority without TLS: error %v, want %v", err, storetls.ErrPlain)
	}
	if _, err := storetls.PostgresURL("postgres://u:tadpole@%zz/d", ca.File); err == nil || strings.Contains(err.Error(), "tadpole") {
		t.Errorf("a malformed URL: error %v, want one without the password", err)
	}
}

func TestAFileWithoutCertificatesIsRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("-----BEGIN CERTIFICATE-----\nfrog\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".missing"} {
		if _, err := storetls.Roots(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v, want one that names %s", err, file)
		}
		if _, err := storetls.PostgresURL("postgres://u@h/d", file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v, want one that names %s", err, file)
		}
	}
}

// childEnv is set in the child process of the next test.
const childEnv = "STORETLS_CHILD"

func TestPublicAuthoritiesAreKnownWhereTheSystemHasNone(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPublicAuthoritiesAreKnownWhereTheSystemHasNone$")
		child.Env = append(os.Environ(), childEnv+"=1", "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("child process: %v\n%s", err, out)
		}
		return
	}
	n := 0
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := certificate.Verify(x509.VerifyOptions{}); err != nil {
			t.Errorf("%s does not verify: %v", certificate.Subject, err)
		}
		n++
	}
	if n < 100 {
		t.Errorf("%d public authorities, want at least 100", n)
	}
}

func TestARealPostgresIsVerified(t *testing.T) {
	ca := tlstest.NewCA(t)
	server := pgtest.StartServerTLS(t, ca)
	connect := func(connection, file string) error {
		t.Helper()
		connection, err := storetls.PostgresURL(connection, file)
		if err != nil {
			return err
		}
		c, err := pgx.ParseConfig(connection)
		if err != nil {
			t.Fatal(err)
		}
		storetls.Postgres(&c.Config)
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			return storetls.Explain(err, "CA_FILE")
		}
		defer conn.Close(t.Context())
		var encrypted bool
		if err := conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
			t.Errorf("%s: encrypted %v, error %v, want an encrypted connection", connection, encrypted, err)
		}
		return nil
	}
	for _, mode := range []string{"", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=verify-full"} {
		at := "postgres://postgres@" + server.Addr() + "/postgres" + mode
		if err := connect(at, ca.File); err != nil {
			t.Errorf("%s with its authority: error %v, want none", at, err)
		}
		if err := connect(at, tlstest.NewCA(t).File); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s with another authority: error %v, want unknown authority", at, err)
		}
		if err := connect(at, ""); err == nil || !strings.Contains(err.Error(), "unknown authority (CA_FILE names the file") {
			t.Errorf("%s without its authority: error %v, want unknown authority and the setting CA_FILE", at, err)
		}
	}
	elsewhere := pgtest.StartServerTLS(t, ca, "192.0.2.1")
	for _, mode := range []string{"", "?sslmode=require", "?sslmode=verify-ca"} {
		at := "postgres://postgres@" + elsewhere.Addr() + "/postgres" + mode
		if err := connect(at, ca.File); err == nil || !strings.Contains(err.Error(), "certificate is valid for 192.0.2.1") {
			t.Errorf("%s with the certificate of another address: error %v, want one that names 192.0.2.1", at, err)
		}
	}
	plain := pgtest.StartServer(t)
	if err := connect("postgres://postgres@"+plain.Addr()+"/postgres", ca.File); err == nil || !strings.Contains(err.Error(), "refused TLS") {
		t.Errorf("a server without TLS: error %v, want refused TLS", err)
	}
}
