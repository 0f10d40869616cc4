package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lilypad.example/services/pkg/tlstest"
	"lilypad.example/sidecar/internal/app"
)

// withRoutes replaces the policy. Each %s in it is the application's address.
func withRoutes(policy string) func(*app.Config) {
	return func(c *app.Config) {
		old, err := os.ReadFile(c.RoutesFile)
		if err != nil {
			panic(err)
		}
		_, address, _ := strings.Cut(string(old), `app: "`)
		address, _, _ = strings.Cut(address, `"`)
		if err := os.WriteFile(c.RoutesFile, []byte(strings.ReplaceAll(policy, "%s", address)), 0o600); err != nil {
			panic(err)
		}
	}
}

func TestUpstreamsWithTLSAndSockets(t *testing.T) {
	ca, dir := tlstest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, dir, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	who := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "certificates %d, token %t", len(r.TLS.PeerCertificates), r.Header.Get("Authorization") != "")
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(who))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.VerifyClientCertIfGiven}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	socket := filepath.Join(dir, "app.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "local") })}
	go func() { _ = local.Serve(ln) }()
	t.Cleanup(func() { _ = local.Close() })
	w := newWorld(t, withRoutes(fmt.Sprintf(`
upstreams:
  known: {url: %q, ca: %s}
  mutual: {url: %q, ca: %s, certificate: %s, key: %s}
  socket: unix:%s
  many: {urls: ["http://127.0.0.1:1", "%%s"]}
routes:
  - {prefix: /known, upstream: known, policy: optional}
  - {prefix: /mutual, upstream: mutual, policy: public}
  - {prefix: /socket, upstream: socket, policy: public}
  - {prefix: /, upstream: many, policy: optional}
`, secure.URL, ca.File, secure.URL, ca.File, cert, key, socket)))
	c := w.login()
	for path, want := range map[string]string{
		"/known": "certificates 0, token true", "/mutual": "certificates 1, token false", "/socket": "local",
	} {
		if r := w.get(path, "Cookie", c); r.status != http.StatusOK || r.body != want {
			t.Errorf("%s: %d %q, want %q", path, r.status, r.body, want)
		}
	}
	for range 4 {
		if r := w.get("/"); r.status != http.StatusOK {
			t.Errorf("an endpoint is down: status %d, want the other endpoint's 200", r.status)
		}
	}
}

// No other test of this process may load the authorities of the system: crypto/x509 does so once.
func TestFaultyCertificatesAreReportedAtTheStart(t *testing.T) {
	ca, dir := tlstest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, dir, "127.0.0.1")
	t.Setenv("SSL_CERT_FILE", key)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	c := &app.Config{
		RoutesFile: filepath.Join(dir, "routes.yaml"), AuthURL: "http://auth", ClientID: "test", ClientKeyFile: filepath.Join(dir, "client.pem"), LoginPath: "/login",
	}
	write(t, c.ClientKeyFile, privateKey(t))
	write(t, c.RoutesFile, fmt.Appendf(nil, `
upstreams:
  a: {url: "https://a", ca: /nowhere.pem}
  b: {url: "https://b", ca: %[2]s}
  c: {url: "https://c", ca: %[1]s, certificate: %[2]s, key: %[1]s}
  d: https://d
  e: {url: "https://e", ca: %[1]s}
routes: [{prefix: /, upstream: a, policy: public}]
`, cert, key))
	_, err := app.New(t.Context(), c, nil, nil)
	if err == nil {
		t.Fatal("New = nil, want errors")
	}
	for _, want := range []string{
		"upstream a: open /nowhere.pem: ", "upstream b: " + key + " holds no certificate in PEM form", "upstream c: " + key + " and " + cert + ": tls:",
		"upstream d: there is no certificate authority to verify it with: name a PEM file with ca, or mount the public ones at /etc/ssl/certs",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "upstream e") {
		t.Errorf("error about an upstream without a fault:\n%v", err)
	}
}

func TestReplacedCertificatesAreUsed(t *testing.T) {
	dir := t.TempDir()
	old, next := tlstest.NewCA(t), tlstest.NewCA(t)
	file := filepath.Join(dir, "ca.pem")
	take := func(ca *tlstest.CA) {
		text, err := os.ReadFile(ca.File)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, text)
	}
	take(old)
	pair, err := tls.LoadX509KeyPair(next.Issue(t, dir, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	w := newWorld(t, withRoutes(fmt.Sprintf("upstreams: {app: {url: %q, ca: %s}}\nroutes: [{prefix: /, upstream: app, policy: public}]", secure.URL, file)))
	if r := w.get("/"); r.status != http.StatusBadGateway {
		t.Fatalf("with another authority: status %d, want 502", r.status)
	}
	if !strings.Contains(w.logs.String(), "certificate signed by unknown authority") {
		t.Errorf("the log does not say why:\n%s", w.logs)
	}
	write(t, file, []byte("not a certificate"))
	await(t, "a log line about invalid certificates", func() bool { w.get("/"); return strings.Contains(w.logs.String(), "certificates not reloaded") })
	take(next)
	await(t, "the new authority to count", func() bool { return w.get("/").status == http.StatusOK })
}
