package replicas

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

const (
	// issuer is not an address: clients reach the auth service through a door.
	issuer = "http://auth.lilypad.test"
	// clientID is the OAuth client ID of the sidecars and of the test.
	clientID = "sidecar"
)

// writeFiles writes the files of the programs' settings: keys, the client's private and public key,
// and the policy file.
func (w *world) writeFiles(programs string) {
	w.t.Helper()
	keys := exec.CommandContext(w.t.Context(), filepath.Join(programs, "auth"), "keys", "generate", "--dir", w.dir)
	keys.Env = process.Environment(nil)
	if out, err := keys.CombinedOutput(); err != nil {
		w.t.Fatalf("auth keys generate: %v\n%s", err, out)
	}
	var err error
	if w.clientKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	private, err1 := x509.MarshalPKCS8PrivateKey(w.clientKey)
	public, err2 := x509.MarshalPKIXPublicKey(&w.clientKey.PublicKey)
	clients, err3 := json.Marshal(map[string]string{clientID: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))})
	if err1 != nil || err2 != nil || err3 != nil {
		w.t.Fatal(err1, err2, err3)
	}
	w.write("client-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	w.write("clients.json", string(clients))
	w.write("routes.yaml", fmt.Sprintf(`upstreams:
  app: %s
  frogs: http://%s
routes:
  - {path: /login, upstream: app, policy: public}
  - {prefix: /api/frogs, upstream: frogs, policy: session}
  - {prefix: /, upstream: app, policy: session}
`, w.upstream.url, w.frogs.address))
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// write replaces a file atomically, as the kubelet does.
func (w *world) write(name, text string) {
	w.t.Helper()
	fresh := w.file(name) + ".new"
	if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(fresh, w.file(name)); err != nil {
		w.t.Fatal(err)
	}
}

// assertion returns a client assertion (RFC 7523) signed with ES256.
func (w *world) assertion() string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"exp":%d,"jti":%q}`, clientID, clientID, issuer, time.Now().Add(time.Minute).Unix(), rand.Text())
	text := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, w.clientKey, digest[:])
	if err != nil {
		w.t.Error(err)
		return ""
	}
	var signature [64]byte // RFC 7518 section 3.4: r and s, 32 bytes each
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encode(signature[:])
}

// grant is the response to a refresh.
type grant struct {
	status       int
	RefreshToken string `json:"refresh_token"`
	AccessToken  string `json:"access_token"`
	Error        string `json:"error"`
}

// use sends a refresh token to an auth service, as a sidecar does for a browser with this user
// agent and address.
func (w *world) use(ctx context.Context, auth *program, refreshToken, userAgent, address string) (grant, error) {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {w.assertion()},
		"user_agent": {userAgent}, "client_address": {address},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+auth.address+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return grant{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := direct.Do(req)
	if err != nil {
		return grant{}, err
	}
	defer resp.Body.Close()
	g := grant{status: resp.StatusCode}
	err = json.NewDecoder(resp.Body).Decode(&g)
	return g, err
}

// claims returns the claims of an access token without verifying it.
func claims(authorization string) (c struct {
	SessionID string `json:"sid"`
	Expires   int64  `json:"exp"`
}, err error,
) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return c, fmt.Errorf("no bearer token: %d bytes", len(authorization))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, err
	}
	err = json.Unmarshal(text, &c)
	return c, err
}

// newDatabase creates a database on the server of LILYPAD_TEST_POSTGRES, drops it when the test
// ends, and returns its URL.
func newDatabase(t *testing.T) *url.URL {
	t.Helper()
	const env = "LILYPAD_TEST_POSTGRES"
	server := os.Getenv(env)
	if server == "" {
		t.Fatalf("%s is not set: run `make test`, which starts a private PostgreSQL", env)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is not a URL", env) // the value may hold a password
	}
	name := "replicas_" + strings.ToLower(rand.Text()[:12])
	execute(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u
}
