// Package app wires the auth service: New opens everything that the settings name, Run serves until
// its context is canceled. It is the only package that imports all parts.
package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/auth/internal/provider"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/reload"
	"lilypad.example/services/pkg/storetls"
)

// Stores holds the settings of the stores of accounts and sessions.
type Stores struct {
	Store       string        `default:"external" enum:"external,embedded" help:"Where to keep state: external (Postgres and Redis), or embedded (in this process, lost when it ends)."`
	DatabaseURL config.Secret `placeholder:"URL" help:"Postgres URL: postgres://user:password@host/database, or host,host/database?target_session_attrs=read-write to find the primary among several. Uses verified TLS unless sslmode=disable."`
	RedisURL    config.Secret `placeholder:"URL" help:"Redis URL: redis://:password@host:6379, redis+sentinel://:password@host:26379,…/name-of-primary or redis+cluster://:password@host:6379,…; rediss for verified TLS."`

	DatabaseCAFile string `name:"database-ca-file" placeholder:"FILE" help:"CA certificates (PEM) to verify Postgres with. Default: the public CAs."`
	RedisCAFile    string `name:"redis-ca-file" placeholder:"FILE" help:"CA certificates (PEM) to verify Redis with. Default: the public CAs."`
}

// Config holds the settings of auth serve.
type Config struct {
	config.Common
	Stores

	Listen    string   `default:":8080" help:"Address to listen on."`
	Issuer    string   `placeholder:"URL" help:"Issuer identifier (RFC 8414): the URL under which other services reach this one."`
	Audiences []string `default:"frontend,frogs" help:"Audiences of the access tokens, besides this service."`

	AccessTTL           time.Duration `name:"access-ttl" default:"5m" help:"Lifetime of an access token."`
	IdleTTL             time.Duration `name:"idle-ttl" default:"336h" help:"Lifetime of a session without activity."`
	AbsoluteTTL         time.Duration `name:"absolute-ttl" default:"720h" help:"Maximum lifetime of a session."`
	Overlap             time.Duration `default:"10s" help:"How long a rotated refresh token still returns its successor (for concurrent requests and lost responses)."`
	MinRotationInterval time.Duration `default:"10s" help:"Minimum time between two rotations of a session. Must be at least the overlap; 0s disables it."`
	MaxSessions         int           `default:"100" help:"Maximum number of sessions per user; a new one ends the oldest. 0 disables it."`

	RebuildSessions bool `default:"true" negatable:"" help:"Restore sessions from Postgres when Redis has lost them. Otherwise users sign in again."`

	KeysSecret
	KeyPolicy

	SigningKeysFile       string   `placeholder:"FILE" help:"Private keys (PEM) for access tokens. The first signs; all are published."`
	RingKeysFile          string   `placeholder:"FILE" help:"Keys for refresh tokens, one per line. The first signs; all verify."`
	ClientKeysFile        string   `placeholder:"FILE" help:"JSON file with the public keys (ECDSA P-256 or Ed25519) of clients that sign their own assertions: {client ID: PEM with one or more keys}. Reloaded when it changes."`
	ClientServiceAccounts []string `placeholder:"NAMESPACE/NAME" help:"Kubernetes ServiceAccounts that are clients. Requires permission to create TokenReviews and to read the issuer discovery."`
	ProvidersFile         string   `placeholder:"FILE" help:"YAML file with the identity providers that users can sign in with. Reloaded when it changes."`
	Passwords             bool     `default:"true" negatable:"" help:"Let users sign in with a password. Requires a providers file if it is off."`
	Registration          bool     `default:"true" negatable:"" help:"Let visitors register with a password. Accounts of providers are created regardless."`
	EmbeddedUsersFile     string   `placeholder:"FILE" help:"JSON file with initial accounts for the embedded store."`
}

// Check returns all faults of the settings, and of the files that they name, that it can find
// without connecting.
func (c *Config) Check() error {
	faults := []error{
		c.Stores.Check(),
		config.CheckListen("LILYPAD_LISTEN", c.Listen),
		config.CheckListen("LILYPAD_OPS_LISTEN", c.OpsListen),
		config.CheckURL("LILYPAD_ISSUER", c.Issuer),
		config.CheckPositive("LILYPAD_ACCESS_TTL", c.AccessTTL),
		config.CheckPositive("LILYPAD_IDLE_TTL", c.IdleTTL),
		config.CheckPositive("LILYPAD_ABSOLUTE_TTL", c.AbsoluteTTL),
		config.CheckPositive("LILYPAD_OVERLAP", c.Overlap),
	}
	faults = append(faults,
		checkFile("LILYPAD_CLIENT_KEYS_FILE", c.ClientKeysFile, clientauth.ParseKeys),
		checkFile("LILYPAD_PROVIDERS_FILE", c.ProvidersFile, provider.Parse),
		checkFile("LILYPAD_EMBEDDED_USERS_FILE", c.EmbeddedUsersFile, func(text []byte) (users []struct{}, err error) {
			err = json.Unmarshal(text, &users)
			return users, err
		}))
	managed := c.KeysSecret.KeysSecret != ""
	if managed {
		faults = append(faults, c.KeysSecret.Check(), c.checkPolicy(c.AccessTTL))
	} else {
		faults = append(faults,
			checkFile("LILYPAD_SIGNING_KEYS_FILE", c.SigningKeysFile, signer.Parse),
			checkFile("LILYPAD_RING_KEYS_FILE", c.RingKeysFile, session.ParseRing))
	}
	for _, rule := range []struct {
		bad  bool
		text string
	}{
		{strings.HasSuffix(c.Issuer, "/"), "LILYPAD_ISSUER must not end in /: verifiers compare it to the letter"},
		{c.AccessTTL > authn.MaxLife, "LILYPAD_ACCESS_TTL: more than 10m keeps a stolen access token alive too long"},
		{c.AccessTTL > 0 && c.AccessTTL < time.Second, "LILYPAD_ACCESS_TTL: less than 1s would be over before it arrives"},
		{c.AccessTTL >= c.IdleTTL, "LILYPAD_ACCESS_TTL must be shorter than LILYPAD_IDLE_TTL"},
		{c.IdleTTL > c.AbsoluteTTL, "LILYPAD_IDLE_TTL must not be longer than LILYPAD_ABSOLUTE_TTL"},
		{c.MinRotationInterval < 0 || c.MinRotationInterval > c.IdleTTL, "LILYPAD_MIN_ROTATION_INTERVAL must be between 0s and LILYPAD_IDLE_TTL"},
		{c.MinRotationInterval > 0 && c.MinRotationInterval < c.Overlap, "LILYPAD_MIN_ROTATION_INTERVAL must be at least LILYPAD_OVERLAP, or 0s to disable it"},
		{!managed && c.SigningKeysFile == "", "LILYPAD_SIGNING_KEYS_FILE or LILYPAD_KEYS_SECRET is required; make keys with `auth keys generate`"},
		{!managed && c.RingKeysFile == "", "LILYPAD_RING_KEYS_FILE or LILYPAD_KEYS_SECRET is required; make keys with `auth keys generate`"},
		{managed && (c.SigningKeysFile != "" || c.RingKeysFile != ""), "LILYPAD_SIGNING_KEYS_FILE and LILYPAD_RING_KEYS_FILE have no effect with LILYPAD_KEYS_SECRET: to keep keys of your own, put them into that Secret"},
		{c.ClientKeysFile == "" && len(c.ClientServiceAccounts) == 0, "LILYPAD_CLIENT_KEYS_FILE or LILYPAD_CLIENT_SERVICE_ACCOUNTS is required: without a client nobody can sign in"},
		{!c.Passwords && c.ProvidersFile == "", "LILYPAD_PASSWORDS=false needs LILYPAD_PROVIDERS_FILE: otherwise nobody can sign in"},
		{c.MaxSessions < 0 || c.MaxSessions > 1_000_000, "LILYPAD_MAX_SESSIONS must be between 0 and 1000000"},
		{c.EmbeddedUsersFile != "" && c.Store != "embedded", "LILYPAD_EMBEDDED_USERS_FILE goes with store embedded only; use `auth user create`"},
	} {
		if rule.bad {
			faults = append(faults, errors.New(rule.text))
		}
	}
	for _, account := range c.ClientServiceAccounts {
		if namespace, name, ok := strings.Cut(account, "/"); !ok || namespace == "" || name == "" || strings.ContainsAny(account, ":* ") {
			faults = append(faults, fmt.Errorf("LILYPAD_CLIENT_SERVICE_ACCOUNTS: %q is not of the form namespace/name", account))
		}
	}
	return errors.Join(faults...)
}

// checkFile checks that the file at path can be read and parsed. An empty path is valid.
func checkFile[T any](setting, path string, parse func([]byte) (T, error)) error {
	if path == "" {
		return nil
	}
	_, err := reload.Open(path, parse)
	return named(setting, err)
}

// Check returns all missing, superfluous and malformed settings.
func (s *Stores) Check() error {
	faults := []error{
		config.CheckStore(s.Store, "LILYPAD_DATABASE_URL", s.DatabaseURL),
		config.CheckStore(s.Store, "LILYPAD_REDIS_URL", s.RedisURL),
	}
	if s.Store == "external" && !s.DatabaseURL.IsZero() {
		faults = append(faults, s.checkPostgres())
	}
	if s.Store == "external" && !s.RedisURL.IsZero() {
		faults = append(faults, s.checkRedis())
	}
	return errors.Join(faults...)
}

func (s *Stores) checkPostgres() error {
	_, err := pgxpool.ParseConfig(s.DatabaseURL.Reveal()) // its errors redact the password
	_, bad := storetls.Roots(s.DatabaseCAFile)
	if err != nil || bad != nil {
		return errors.Join(named("LILYPAD_DATABASE_URL", err), named("LILYPAD_DATABASE_CA_FILE", bad))
	}
	_, err = s.postgresURL()
	return err
}

func (s *Stores) checkRedis() error {
	roots, bad := storetls.Roots(s.RedisCAFile)
	client, err := redis.Open(s.RedisURL.Reveal(), roots)
	if err == nil {
		err = client.Close()
	}
	return errors.Join(named("LILYPAD_REDIS_URL", err), named("LILYPAD_REDIS_CA_FILE", bad))
}

// named prefixes err with the name of a setting.
func named(setting string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", setting, err)
}
