// Package forwardauth tests the sidecar behind proxies that ask it by forward auth: with the
// recipes of docs/forward-auth.md, which it takes from there, and with Envoy's own types.
package forwardauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

const (
	policy = `
upstreams: {app: %q}
routes:
  - {path: /public, upstream: app, policy: public}
  - {path: /account, upstream: app, policy: session}
  - {prefix: /admin, upstream: app, policy: "role:admin"}
  - {prefix: /, upstream: app, policy: optional}
`
	cookieName = "__Host-Http-lilypad"
)

// sidecar is the program, which TestMain compiles.
var sidecar string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lilypad-forwardauth-")
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sidecar = filepath.Join(dir, "sidecar")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", sidecar, "./cmd/sidecar")
	build.Dir, build.Env = "../../sidecar", append(os.Environ(), "GOWORK=off")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "compile the sidecar:", err)
		return 1
	}
	return m.Run()
}

// lab is a sidecar with a fake auth service, and an application that echoes requests.
type lab struct {
	t                      *testing.T
	dir                    string
	browser, verify, envoy string // addresses of the sidecar's ports
	app                    string // address of the application
	auth                   *auth
}

// newLab starts a sidecar.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), auth: &auth{life: 300}}
	authService := httptest.NewServer(l.auth)
	t.Cleanup(func() { authService.CloseClientConnections(); authService.Close() })
	app := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(app.Close)
	l.app = app.Listener.Addr().String()
	l.browser, l.verify, l.envoy = l.free(), l.free(), l.free()
	ops := l.free()
	cmd := process.Command(t.Context(), sidecar, "serve")
	cmd.Env = process.Environment(map[string]string{
		"LISTEN": l.browser, "VERIFY_LISTEN": l.verify, "EXT_AUTHZ_LISTEN": l.envoy, "OPS_LISTEN": ops, "TRUSTED_PROXIES": "127.0.0.0/8",
		"ROUTES_FILE": l.file("routes.yaml", fmt.Sprintf(policy, app.URL)), "AUTH_URL": authService.URL,
		"CLIENT_ID": "test", "CLIENT_KEY_FILE": l.file("client.pem", key(t)), "SHUTDOWN_DELAY": "0s", "LOGIN_PATH": "/login", "ACCESS_LOG": "none",
	})
	l.start("sidecar", cmd, "http://"+ops+"/readyz")
	return l
}

// start runs a program until the test ends, and waits until url answers.
func (l *lab) start(name string, cmd *exec.Cmd, url string) {
	l.t.Helper()
	p, err := process.Start(name, cmd)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		<-p.Ended() // the test's context has ended
		if l.t.Failed() {
			l.t.Logf("%s: %s", name, p.Output.Problems())
		}
	})
	err = process.Await(l.t.Context(), process.Patience, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return err
		}
		return errors.Join(res.Body.Close(), unless(res.StatusCode == http.StatusOK, fmt.Errorf("status %d", res.StatusCode)))
	}, p)
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", name, err, p.Output.String())
	}
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

func (l *lab) free() string {
	l.t.Helper()
	address, err := process.FreeAddress(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return address
}

func (l *lab) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// recipe returns the first block of code below a heading of docs/forward-auth.md, with the lab's
// addresses.
func (l *lab) recipe(heading string) string {
	l.t.Helper()
	text, err := os.ReadFile("../../docs/forward-auth.md")
	if err != nil {
		l.t.Fatal(err)
	}
	_, below, found := strings.Cut(string(text), "\n## "+heading)
	_, block, opened := strings.Cut(below, "\n```")
	block, _, closed := strings.Cut(block, "\n```")
	_, block, _ = strings.Cut(block, "\n") // the language
	if !found || !opened || !closed {
		l.t.Fatalf("docs/forward-auth.md has no code below %q", heading)
	}
	for name, address := range map[string]string{"sidecar:8080": l.browser, "sidecar:8082": l.verify, "app:8081": l.app} {
		if !strings.Contains(block, name) && name != "app:8081" && heading != "Traefik" {
			l.t.Fatalf("the recipe for %s does not name %s", heading, name)
		}
		block = strings.ReplaceAll(block, name, address)
	}
	return block
}

func key(t *testing.T) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// auth is a fake auth service with one account, which any credentials open. Each refresh rotates
// the cookie.
type auth struct {
	mu     sync.Mutex
	serial int
	life   int // of access tokens, in seconds
}

func (a *auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/revocations":
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			_, _ = io.WriteString(w, ": beat\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Second):
			}
		}
	case "/v1/sessions":
		write(w, http.StatusCreated, map[string]any{
			"user":  map[string]any{"sub": "u1", "email": "fred@pond.test", "name": "Fred", "roles": []string{}},
			"token": a.token(), "other_sessions": []string{},
		})
	case "/v1/me":
		write(w, http.StatusOK, map[string]any{"sub": "u1", "email": "fred@pond.test", "name": "Fred", "roles": []string{}})
	case "/oauth2/token":
		write(w, http.StatusOK, a.token())
	case "/v1/sessions/confirm":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (a *auth) token() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
	const family = "family0000000000000001"
	return map[string]any{
		"access_token": fmt.Sprintf("access-%d", a.serial), "token_type": "Bearer", "expires_in": a.life,
		"refresh_token": fmt.Sprintf("v1.k1.%s.%d.%s", family, a.serial, strings.Repeat("m", 43)),
		"sid":           family, "roles": []string{}, "auth_time": time.Now(), "expires_at": time.Now().Add(time.Hour),
	}
}

func (a *auth) setLife(seconds int) { a.mu.Lock(); defer a.mu.Unlock(); a.life = seconds }

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// seen is a request as the application received it.
type seen struct {
	Method, Target string
	Header         http.Header
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Set-Cookie", "apps=own")
	write(w, http.StatusOK, seen{r.Method, r.RequestURI, r.Header})
}

// reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends a request to a proxy or to the sidecar, with the header fields in pairs.
func (l *lab) send(address, method, target, body string, pairs ...string) reply {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+address+target, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// login signs in at an address, and returns the session cookie's value.
func (l *lab) login(address string) string {
	l.t.Helper()
	r := l.send(address, http.MethodPost, "/auth/login", `{"email":"fred@pond.test","password":"a pond full of tadpoles"}`, "Content-Type", "application/json")
	value := r.sets(cookieName)
	if r.status != http.StatusOK || value == "" {
		l.t.Fatalf("login: status %d, want 200: %s", r.status, r.body)
	}
	return value
}

// sets returns the value of a cookie that the response sets.
func (r reply) sets(name string) string {
	for _, line := range r.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == name {
			return c.Value
		}
	}
	return ""
}

// rotates waits until a request of a signed-in user brings another cookie than value.
func (l *lab) rotates(address, value string) {
	l.t.Helper()
	err := process.Await(l.t.Context(), process.Patience, func(context.Context) error {
		next := l.send(address, http.MethodGet, "/account", "", "Cookie", cookieName+"="+value).sets(cookieName) //nolint:contextcheck // the test's
		return unless(next != "" && next != value, errors.New("the browser gets no new cookie"))
	})
	if err != nil {
		l.t.Error(err)
	}
}
