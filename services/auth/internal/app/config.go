// Package app wires the auth service: New opens everything that a configuration
// names, Run serves until it is told to stop. It is used by main and by tests,
// and is the only place that knows all parts.
package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/config"
)

// Stores says where accounts and sessions are kept.
type Stores struct {
	Store       string        `default:"external" enum:"external,embedded" help:"Where state is kept: external is Postgres and Redis; embedded is this process, and gone with it."`
	DatabaseURL config.Secret `placeholder:"URL" help:"Postgres with the accounts: postgres://user:password@host/database; or host,host/database?target_session_attrs=read-write for whichever of several is the primary. TLS, verified, unless sslmode=disable."`
	RedisURL    config.Secret `placeholder:"URL" help:"Redis with the sessions: redis://:password@host:6379, redis+sentinel://:password@host:26379,…/name-of-primary or redis+cluster://:password@host:6379,…; rediss for TLS, verified."`

	DatabaseCAFile string `name:"database-ca-file" placeholder:"FILE" help:"Certificates (PEM) of the authority that Postgres is verified by. Default: the public authorities."`
	RedisCAFile    string `name:"redis-ca-file" placeholder:"FILE" help:"Certificates (PEM) of the authority that Redis is verified by. Default: the public authorities."`
}

// Config is everything that can be set for auth serve.
type Config struct {
	config.Common
	Stores

	Listen    string   `default:":8080" help:"Address of the service."`
	Issuer    string   `placeholder:"URL" help:"Name of this issuer in tokens (RFC 8414): its URL as the other services reach it."`
	Audiences []string `default:"frontend,frogs" help:"Services that accept the access tokens, besides this one."`

	AccessTTL           time.Duration `name:"access-ttl" default:"5m" help:"Life of an access token."`
	IdleTTL             time.Duration `name:"idle-ttl" default:"336h" help:"Life of a session that nobody uses."`
	AbsoluteTTL         time.Duration `name:"absolute-ttl" default:"720h" help:"Life of a session at the most."`
	Overlap             time.Duration `default:"10s" help:"How long a rotated refresh token gets its successor again without question."`
	MinRotationInterval time.Duration `default:"10s" help:"Least time between two rotations of a session; at least the overlap, so that no token is two generations behind while its overlap lasts."`
	MaxSessions         int           `default:"100" help:"Sessions that a user can have at once; the oldest ends. 0 for no limit."`

	RebuildSessions bool `default:"true" negatable:"" help:"Let sessions that Redis has lost go on from Postgres; else their users sign in once more."`

	KeysSecret
	KeyPolicy

	SigningKeysFile       string   `placeholder:"FILE" help:"Private keys of access tokens in PEM form; the first signs, all are published. With a keys secret: what that begins with, if it is empty and the file is there."`
	RingKeysFile          string   `placeholder:"FILE" help:"Keys of refresh tokens, a line each; the first signs, all verify. With a keys secret: as above."`
	ClientKeysFile        string   `placeholder:"FILE" help:"Public keys (ECDSA P-256 or Ed25519) of clients that sign their own assertions, as JSON: {id: PEM}. The PEM text may hold several keys. Changes are picked up while running."`
	ClientServiceAccounts []string `placeholder:"NAMESPACE/NAME" help:"Kubernetes ServiceAccounts that are clients. Needs the rights to create TokenReviews and to read the issuer discovery."`
	EmbeddedUsersFile     string   `placeholder:"FILE" help:"Accounts that the embedded store begins with, as JSON."`
}

// Check returns all faults that the settings have by themselves.
func (c *Config) Check() error {
	faults := []error{
		c.Stores.Check(),
		config.CheckURL("LILYPAD_ISSUER", c.Issuer),
		config.CheckPositive("LILYPAD_ACCESS_TTL", c.AccessTTL),
		config.CheckPositive("LILYPAD_IDLE_TTL", c.IdleTTL),
		config.CheckPositive("LILYPAD_ABSOLUTE_TTL", c.AbsoluteTTL),
		config.CheckPositive("LILYPAD_OVERLAP", c.Overlap),
	}
	managed := c.KeysSecret.KeysSecret != ""
	if managed {
		faults = append(faults, c.KeysSecret.Check(), c.checkPolicy(c.AccessTTL))
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
		{!managed && c.SigningKeysFile == "", "LILYPAD_SIGNING_KEYS_FILE or LILYPAD_KEYS_SECRET is required; make keys with `auth keys generate`"},
		{!managed && c.RingKeysFile == "", "LILYPAD_RING_KEYS_FILE or LILYPAD_KEYS_SECRET is required; make keys with `auth keys generate`"},
		{c.ClientKeysFile == "" && len(c.ClientServiceAccounts) == 0, "LILYPAD_CLIENT_KEYS_FILE or LILYPAD_CLIENT_SERVICE_ACCOUNTS is required: without a client nobody can sign in"},
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

// Check returns what is missing or too much.
func (s *Stores) Check() error {
	return errors.Join(
		config.CheckStore(s.Store, "LILYPAD_DATABASE_URL", s.DatabaseURL),
		config.CheckStore(s.Store, "LILYPAD_REDIS_URL", s.RedisURL),
	)
}
