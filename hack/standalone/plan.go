package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"lilypad.example/services/pkg/process"
)

// plan is where everything is, from which the settings of each program follow.
type plan struct {
	options
	ports
	dir, programs string
}

// user is an account that the auth service has from the start.
type user struct {
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	Password string   `json:"password"`
	Roles    []string `json:"roles"`
}

// clientID is the OAuth client ID of the sidecar.
const clientID = "standalone-sidecar"

// prepare writes the files that the settings name and returns the only account.
func (p plan) prepare(ctx context.Context) (user, error) {
	guest := user{Email: "newt@lilypad.example", Name: "Newt", Password: rand.Text(), Roles: []string{"admin"}}
	keys := exec.CommandContext(ctx, filepath.Join(p.programs, "auth"), "keys", "generate", "--dir", p.dir)
	keys.Env = process.Environment(nil)
	if out, err := keys.CombinedOutput(); err != nil {
		return guest, fmt.Errorf("auth keys generate: %w\n%s", err, out)
	}
	private, public, err := clientKey()
	if err != nil {
		return guest, err
	}
	clients, err := json.Marshal(map[string]string{clientID: public})
	if err != nil {
		return guest, err
	}
	users, err := json.Marshal([]user{guest}) //nolint:gosec // the auth service hashes it; only we can read the file, and it is removed
	if err != nil {
		return guest, err
	}
	return guest, errors.Join(
		p.write("client-key.pem", private),
		p.write("clients.json", string(clients)),
		p.write("users.json", string(users)),
		p.write("routes.yaml", p.policy()),
		p.write("provider.secret", rand.Text()),
		p.write("providers.yaml", p.demonstration()),
	)
}

// checkRoutes validates the user's own policy file before anything starts.
func (p plan) checkRoutes(ctx context.Context) error {
	if p.routes == "" {
		return nil
	}
	args := []string{"check", p.routes}
	if login, _ := p.ownPages(); login != "" {
		args = append(args, "--login-path", login)
	}
	check := exec.CommandContext(ctx, filepath.Join(p.programs, "sidecar"), args...)
	check.Env = process.Environment(nil)
	out, err := check.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ROUTES=%s is not a valid policy file:\n%s", p.routes, bytes.TrimSpace(out))
	}
	return nil
}

func (p plan) write(name, text string) error { return os.WriteFile(p.file(name), []byte(text), 0o600) }

func (p plan) file(name string) string { return filepath.Join(p.dir, name) }

// clientKey is a new ES256 key pair, both halves as PEM.
func clientKey() (private, public string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	open, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open})), nil
}

// policyFile returns the user's own file, which they may edit meanwhile, or the generated one.
func (p plan) policyFile() string { return cmp.Or(p.routes, p.file("routes.yaml")) }

// policy returns the generated policy file. For the sample app it is the same as in
// charts/frogs/values.yaml.
func (p plan) policy() string {
	if p.app != "" {
		return fmt.Sprintf("upstreams: {app: %q}\nroutes: [{prefix: /, upstream: app, policy: session}]\n", p.app)
	}
	return fmt.Sprintf(`upstreams:
  app: %s
  frogs: %s
routes:
  - {prefix: /static/, upstream: app, policy: public}
  - {prefix: /api/frogs, upstream: frogs, policy: session, deny: {text: Login to pet the phrog 👀}}
  - {prefix: /account, upstream: app, policy: session}
  - {prefix: /frogs, methods: [POST], upstream: app, policy: session, deny: {text: Login to pet the phrog 👀}}
  - {prefix: /admin, upstream: app, policy: "role:admin", fresh: 15m}
  - {prefix: /, upstream: app, policy: optional}
`, local(p.frontend), local(p.frogs))
}

// providersFile returns the user's own file of identity providers, or the one of the demonstration
// provider.
func (p plan) providersFile() string { return cmp.Or(p.providers, p.file("providers.yaml")) }

// demonstration returns the providers file with the demonstration provider.
func (p plan) demonstration() string {
	return fmt.Sprintf(`providers:
  - id: pond
    type: oidc
    name: the demonstration provider
    issuer: %s
    client_id: lilypad
    client_secret_file: %s
    scopes: [openid, profile, email, offline_access]
    groups_claim: groups
    roles: {keepers: [admin]}
    refresh_every: 10s
`, local(p.idp), p.file("provider.secret"))
}

// provider returns the demonstration provider. Browsers reach it by the address, and the product by
// the name, so that it does not share cookies with the product.
func (p plan) provider() spec {
	args := []string{ //nolint:prealloc // there are few
		"--listen", loopback(p.idp), "--client-secret-file", p.file("provider.secret"),
		"--backchannel-logout-uri", local(p.sidecar) + "/auth/backchannel-logout/pond",
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		origin := fmt.Sprintf("http://%s:%d", host, p.sidecar)
		args = append(args, "--redirect-uri", origin+"/auth/callback/pond")
		for _, page := range []string{"/login", "/auth/login"} {
			args = append(args, "--post-logout-redirect-uri", origin+page+"?signed_out=1")
		}
	}
	return spec{name: "provider", path: filepath.Join(p.programs, "provider"), args: args, env: process.Environment(nil), ready: local(p.idp) + "/ready"}
}

// commands returns the programs, each after those it depends on.
func (p plan) commands() []spec {
	auth := local(p.auth)
	var commands []spec
	if p.providers == "" {
		commands = append(commands, p.provider())
	}
	commands = append(commands,
		p.command("auth", p.auth, p.authOps, map[string]string{
			"STORE": "embedded", "ISSUER": auth, "ACCESS_TTL": p.accessTTL.String(),
			"SIGNING_KEYS_FILE": p.file("signing.pem"), "RING_KEYS_FILE": p.file("ring.keys"),
			"CLIENT_KEYS_FILE": p.file("clients.json"), "EMBEDDED_USERS_FILE": p.file("users.json"), "PROVIDERS_FILE": p.providersFile(),
		}),
	)
	if p.sample() {
		commands = append(commands,
			p.command("frogs", p.frogs, p.frogsOps, map[string]string{"STORE": "embedded", "AUTH_URL": auth}),
			p.command("frontend", p.frontend, p.frontendOps, map[string]string{"AUTH_URL": auth, "FROGS_URL": local(p.frogs)}),
		)
	}
	settings := map[string]string{
		"AUTH_URL": auth, "ROUTES_FILE": p.policyFile(), "PUBLIC_SCHEME": "http", "SHUTDOWN_DELAY": "0s",
		"CLIENT_ID": clientID, "CLIENT_KEY_FILE": p.file("client-key.pem"),
	}
	// Without these, the sidecar uses the pages of the auth service.
	if login, register := p.ownPages(); login != "" {
		settings["LOGIN_PATH"], settings["REGISTER_PATH"] = login, register
	}
	return append(commands, p.command("sidecar", p.sidecar, p.sidecarOps, settings))
}

// ownPages returns the paths of the login and registration pages of an app that has its own, or "".
func (p plan) ownPages() (login, register string) {
	switch {
	case p.sample():
		return "/login", "/register"
	case p.login != "":
		return p.login, cmp.Or(p.register, p.login)
	}
	return "", ""
}

// command returns a program with the common settings and its own.
func (p plan) command(name string, port, opsPort int, settings map[string]string) spec {
	settings["LISTEN"] = loopback(port)
	settings["OPS_LISTEN"] = loopback(opsPort)
	settings["LOG_FORMAT"] = "text"
	settings["LOG_LEVEL"] = p.logLevel
	settings["DRAIN"] = "2s"
	return spec{name: name, path: filepath.Join(p.programs, name), args: []string{"serve"}, env: process.Environment(settings), ready: local(opsPort) + "/readyz"}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func local(port int) string { return "http://" + loopback(port) }
