package app_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/rollover"
)

// cluster is an API server with one Secret. Like a real one, it refuses patches with an outdated
// resourceVersion.
type cluster struct {
	*httptest.Server

	mu      sync.Mutex
	there   bool
	version int
	data    map[string][]byte
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{data: make(map[string][]byte)}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	refuse := func(code int, reason string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code})
	}
	if !c.there || r.URL.Path != "/api/v1/namespaces/lilypad/secrets/keyring" {
		refuse(http.StatusNotFound, "NotFound")
		return
	}
	if r.Method == http.MethodPatch {
		var patch struct {
			Metadata struct{ ResourceVersion string }
			Data     map[string][]byte
		}
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
			refuse(http.StatusBadRequest, "BadRequest")
			return
		}
		if patch.Metadata.ResourceVersion != strconv.Itoa(c.version) {
			refuse(http.StatusConflict, "Conflict")
			return
		}
		c.version++
		maps.Copy(c.data, patch.Data)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Secret", "apiVersion": "v1", "data": c.data,
		"metadata": map[string]string{"name": "keyring", "resourceVersion": strconv.Itoa(c.version)},
	})
}

// create creates the Secret without data, as the chart does.
func (c *cluster) create() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there = true
}

func (c *cluster) entry(name string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.data[name])
}

// managed launches a service with its keys in k's Secret and without key files.
func managed(t *testing.T, k *cluster) *service {
	t.Helper()
	c, key := settings(t, t.TempDir())
	c.KeysSecret = app.KeysSecret{KeysSecret: "lilypad/keyring", Cluster: &rest.Config{Host: k.URL}}
	c.KeyPolicy = app.KeyPolicy{KeysRotateEvery: 720 * time.Hour, KeysPublishAhead: 10 * time.Minute}
	c.SigningKeysFile, c.RingKeysFile = "", ""
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return launch(t, c, key)
}

func (s *service) jwks() answer {
	return s.do(s.request(http.MethodGet, "/.well-known/jwks.json", "", "", ""), true)
}

func TestReplicasThatStartTogetherMakeOneKeyInTheSecret(t *testing.T) {
	k := newCluster(t)
	var replicas []*service
	for range 3 {
		replicas = append(replicas, managed(t, k))
	}
	// Without the Secret, the replicas log the reason and wait.
	for _, s := range replicas {
		eventually(t, "an error about the Secret is logged", func() bool { return strings.Contains(s.logs.String(), "secret lilypad/keyring") })
		if a := s.jwks(); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("JWKS without keys: status %d, want 503 with Retry-After: %s", a.status, a.body)
		}
	}
	k.create()
	for _, s := range replicas {
		eventually(t, "the JWKS is published", func() bool { return s.jwks().status == http.StatusOK })
	}
	if keys, err := rollover.Parse(k.entry(rollover.SigningEntry)); err != nil || len(keys) != 1 {
		t.Errorf("the Secret has %d keys, error %v; want 1 key", len(keys), err)
	}
	published := 0
	for _, s := range replicas {
		if got, want := string(s.jwks().body), string(replicas[0].jwks().body); got != want {
			t.Errorf("replicas publish %s and %s, want the same", want, got)
		}
		published += strings.Count(s.logs.String(), `"key.published"`)
	}
	if published != 1 {
		t.Errorf("%d audit events key.published, want 1", published)
	}
	// A replica accepts its own access token. Each has its own store here, so another one does not
	// know the session.
	begun := replicas[0].register("fred@pond.test")
	if a := replicas[0].do(replicas[0].request(http.MethodGet, "/v1/me", begun.Token.AccessToken, "", ""), false); a.status != http.StatusOK {
		t.Errorf("me: status %d, want 200: %s", a.status, a.body)
	}
	if a := replicas[1].refresh("app", begun.Token.RefreshToken); a.status != http.StatusBadRequest || oauthCode(t, a) != "invalid_grant" {
		t.Errorf("refresh: status %d, want 400 invalid_grant: %s", a.status, a.body)
	}
	if strings.Contains(replicas[0].logs.String(), "PRIVATE KEY") {
		t.Error("the log contains a private key")
	}
}

func TestKeysThatTheSecretAlreadyHoldsAreUsed(t *testing.T) {
	c, key := settings(t, t.TempDir())
	before := start(t, c, key)
	begun := before.register("fred@pond.test")
	k := newCluster(t)
	k.create()
	k.data[rollover.SigningEntry], k.data[rollover.RingEntry] = read(t, c.SigningKeysFile), read(t, c.RingKeysFile)
	after := managed(t, k)
	eventually(t, "the JWKS is published", func() bool { return after.jwks().status == http.StatusOK })
	if got, want := string(after.jwks().body), string(before.jwks().body); got != want {
		t.Errorf("JWKS is %s, want that of the keys in the Secret: %s", got, want)
	}
	session := decode[api.Session](t, after.json("/v1/users", api.NewUser{Email: "fred@pond.test", Name: "Fred", Password: password, Presenter: presenter}).body)
	if header(session.Token.AccessToken) != header(begun.Token.AccessToken) {
		t.Error("access token has another kid than the key in the Secret")
	}
}

func TestBadKeySettingsAreReportedAtOnce(t *testing.T) {
	c, _ := settings(t, t.TempDir())
	c.KeysSecret.KeysSecret = "keyring"
	c.KeyPolicy = app.KeyPolicy{KeysRotateEvery: time.Minute, KeysPublishAhead: time.Second}
	err := c.Check()
	for _, want := range []string{
		"LILYPAD_KEYS_SECRET", "LILYPAD_KEYS_ROTATE_EVERY", "LILYPAD_KEYS_PUBLISH_AHEAD", "LILYPAD_SIGNING_KEYS_FILE and LILYPAD_RING_KEYS_FILE have no effect",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in error: %v", want, err)
		}
	}
	// With key files, the policy is not checked.
	c.KeysSecret.KeysSecret = ""
	if err := c.Check(); err != nil {
		t.Errorf("with key files: error %v, want nil", err)
	}
}
