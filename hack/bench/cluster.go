package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// cluster is a stub of the Kubernetes API server that accepts one ServiceAccount, and the folder
// that pods have mounted. With it, clients authenticate as in production, with one token for many
// calls.
type cluster struct {
	server *httptest.Server
	dir    string
	token  string // of the sidecars and of the benchmark
}

const (
	// The ServiceAccount, whose client ID is clientID.
	accountNamespace, accountName = "production-frontend", "frogs-frontend"
	clientID                      = accountNamespace + "/" + accountName
	// podFolder is where client-go looks for its credentials.
	podFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
)

func openCluster(dir string) (*cluster, error) {
	token, err := serviceAccountToken()
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, token: token, server: httptest.NewUnstartedServer(http.HandlerFunc(review))}
	c.server.Config.ErrorLog = log.New(os.Stderr, "", 0)
	c.server.StartTLS()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
	return c, errors.Join(
		os.Mkdir(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "token"), []byte("ours"), 0o600),
		os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600),
		os.WriteFile(c.tokenFile(), []byte(token), 0o600),
	)
}

func (c *cluster) tokenFile() string { return filepath.Join(c.dir, "client-token") }

// environment returns the variables with the address of the API server.
func (c *cluster) environment() ([]string, error) {
	at, err := url.Parse(c.server.URL)
	if err != nil {
		return nil, err
	}
	return []string{"KUBERNETES_SERVICE_HOST=" + at.Hostname(), "KUBERNETES_SERVICE_PORT=" + at.Port()}, nil
}

// review accepts every TokenReview and serves no keys.
func review(w http.ResponseWriter, r *http.Request) {
	var review struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       struct {
			Audiences []string `json:"audiences"`
		} `json:"spec"`
		Status map[string]any `json:"status"`
	}
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&review) != nil {
		http.NotFound(w, r)
		return
	}
	review.Status = map[string]any{
		"authenticated": true, "audiences": review.Spec.Audiences, "user": map[string]string{"username": subject},
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

const subject = "system:serviceaccount:" + accountNamespace + ":" + accountName

// serviceAccountToken returns a token with the claims and the size of a projected one.
func serviceAccountToken() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	now := time.Now()
	object := func(name string) map[string]string {
		return map[string]string{"name": name, "uid": "0b0d3a5e-6c1e-4d0f-9c55-3f5d2a1f7e11"}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "https://kubernetes.default.svc.cluster.local", "sub": subject, "aud": []string{"lilypad-auth"}, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace": accountNamespace, "serviceaccount": object(accountName),
			"pod": object("frogs-frontend-6d5f7c9b8-x2x4q"), "node": object("node-1"),
		},
	})
	token.Header["kid"] = "zJ4sRbYqNWfL3nXh0kT5cVgP1mQ8dEoA2uIyH7wKxBk"
	return token.SignedString(key)
}

// become mounts dir as the folder of the ServiceAccount, in the mount namespace of this process,
// and executes args.
func become(dir string, args []string) error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/var/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /var/run: %w", err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(podFolder), 0o700), os.Symlink(dir, podFolder)); err != nil {
		return err
	}
	return syscall.Exec(args[0], args, os.Environ()) //nolint:gosec // our own arguments
}

// alone gives a process a mount namespace for become, and a user namespace if we are not root.
func alone(attributes *syscall.SysProcAttr) {
	attributes.Cloneflags = syscall.CLONE_NEWNS
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
}
