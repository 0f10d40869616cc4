// Package app wires the sidecar and handles its requests: New reads the policy and
// listens, Run serves until its context ends. handler.go handles one request from
// top to bottom.
package app

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"lilypad.example/services/pkg/config"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/route"
)

// Config is the settings of sidecar serve.
type Config struct {
	config.Common

	Listen         string `default:":8080" help:"Address for browser traffic, as the ingress reaches it."`
	VerifyListen   string `placeholder:"ADDRESS" help:"Address for GET /auth/verify, which trusted proxies call (forward auth). Disabled by default."`
	ExtAuthzListen string `placeholder:"ADDRESS" help:"Address for Envoy's external authorization over gRPC, which trusted proxies call. Disabled by default."`

	RoutesFile string `placeholder:"FILE" help:"YAML file with upstreams and routes."`
	AuthURL    string `placeholder:"URL" help:"URL of the auth service."`
	Issuer     string `placeholder:"URL" help:"Issuer of the access tokens. Default: the URL of the auth service."`

	ClientID            string `placeholder:"ID" help:"OAuth client ID. Required with a client key."`
	ClientKeyFile       string `placeholder:"FILE" help:"P-256 private key (PEM) that signs client assertions (RFC 7523). Reloaded when it changes."`
	ClientAssertionFile string `placeholder:"FILE" help:"Projected ServiceAccount token with audience lilypad-auth, used as client assertion instead of a client key."`

	TrustedHops    int      `placeholder:"N" help:"Number of proxies in front that append to X-Forwarded-For. The client is the Nth address from the end. Default: 1 with trusted proxies, else 0 (the client is the peer)."`
	TrustedProxies []string `placeholder:"ADDRESS" help:"Addresses or CIDR ranges of proxies whose X-Forwarded headers are trusted. Default: everyone with trusted hops, else no one."`
	DropHeaders    []string `placeholder:"NAME" help:"More request headers to drop before the application, such as X-Tenant or Acme-*."`
	PublicScheme   string   `default:"https" enum:"https,http" help:"Scheme of the public URL, unless a trusted proxy sends X-Forwarded-Proto: ${enum}."`

	LoginPath    string `default:"/auth/login" help:"Path of the login page. Default: the one that the auth service renders."`
	RegisterPath string `default:"/auth/register" help:"Path of the registration page. Default: the one that the auth service renders."`
	HomePath     string `default:"/" help:"Where to go after sign-in when next is absent."`

	ShutdownDelay time.Duration `default:"5s" help:"How long to keep accepting connections after SIGTERM, before draining. In the second half, responses carry Connection: close."`
	MaxSessions   int           `default:"10000" help:"Maximum number of sessions in memory."`
	HeaderTimeout time.Duration `default:"60s" help:"Maximum time until an upstream's response header; then 504."`

	Limits

	AccessLog       string `default:"all" enum:"all,sampled,errors,none" help:"Requests to log: ${enum}."`
	AccessLogSample int    `default:"100" help:"With --access-log=sampled: log one in N requests, and every failed one."`

	memory int64 // limit of the process in bytes; 0 for none
}

// Limits bound the resources that clients can use.
type Limits struct {
	ClientMemory             int64 `placeholder:"BYTES" help:"Memory that all clients together can use. When it is used up, the slowest connections are closed and new requests get 503. Default: half of GOMEMLIMIT or of the container's memory limit, or 256 MiB without a limit."`
	MaxConnections           int   `default:"10000" help:"Maximum number of client connections; then 503."`
	MaxConnectionsPerAddress int   `default:"0" help:"Maximum number of connections per client address (IPv6: per /64); then 503. 0 disables it. Leave it disabled behind an ingress, whose address all connections have."`
	MaxUpstreamRequests      int   `default:"0" help:"Maximum number of concurrent requests and WebSockets per upstream; then 503. A quarter is reserved for signed-in users. 0 disables it."`

	MaxHeaderBytes int   `default:"32768" help:"Maximum size of request line and header in bytes, up to 32768; then 431."`
	MaxHeaders     int   `default:"100" help:"Maximum number of header fields; then 431."`
	MaxBody        int64 `default:"2147483648" help:"Maximum size of a request body in bytes; then 413. 0 disables it."`

	ReadHeaderTimeout time.Duration `default:"10s" help:"Maximum time for a request header, from its first byte; then 408."`
	ReadBodyTimeout   time.Duration `default:"30s" help:"Maximum time without progress while reading a request body; then 408."`
	MinBodyRate       int           `default:"128" help:"Minimum upload rate in bytes/s, after a grace period of read-body-timeout; then 408. 0 disables it."`
	MaxBodyTime       time.Duration `default:"1h" help:"Maximum time for a whole request body; then 408. 0 disables it."`
	WriteTimeout      time.Duration `default:"30s" help:"Maximum time for a client to accept 32 KiB of a response."`
	IdleTimeout       time.Duration `default:"120s" help:"Maximum time between two requests on a connection. Keep it longer than the ingress's, so that the ingress closes first."`
}

// check returns all errors in the limits, joined.
func (l *Limits) check() error {
	var faults []error
	for _, n := range []struct {
		setting     string
		value, most int
		limit       string
	}{
		{"LILYPAD_MAX_CONNECTIONS", l.MaxConnections, math.MaxInt, ""},
		{"LILYPAD_MAX_HEADER_BYTES", l.MaxHeaderBytes, http1.MaxHeadBytes, fmt.Sprintf(" and at most %d", http1.MaxHeadBytes)},
		{"LILYPAD_MAX_HEADERS", l.MaxHeaders, math.MaxInt, ""},
	} {
		if n.value < 1 || n.value > n.most {
			faults = append(faults, fmt.Errorf("%s: %d must be at least 1%s", n.setting, n.value, n.limit))
		}
	}
	for _, n := range []struct {
		setting string
		value   int64
	}{
		{"LILYPAD_CLIENT_MEMORY", l.ClientMemory},
		{"LILYPAD_MAX_CONNECTIONS_PER_ADDRESS", int64(l.MaxConnectionsPerAddress)},
		{"LILYPAD_MAX_UPSTREAM_REQUESTS", int64(l.MaxUpstreamRequests)},
		{"LILYPAD_MAX_BODY", l.MaxBody},
		{"LILYPAD_MIN_BODY_RATE", int64(l.MinBodyRate)},
		{"LILYPAD_MAX_BODY_TIME", int64(l.MaxBodyTime)},
	} {
		if n.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %d is below zero", n.setting, n.value))
		}
	}
	return errors.Join(append(faults,
		config.CheckPositive("LILYPAD_READ_HEADER_TIMEOUT", l.ReadHeaderTimeout),
		config.CheckPositive("LILYPAD_READ_BODY_TIMEOUT", l.ReadBodyTimeout),
		config.CheckPositive("LILYPAD_WRITE_TIMEOUT", l.WriteTimeout),
		config.CheckPositive("LILYPAD_IDLE_TIMEOUT", l.IdleTimeout))...)
}

// Check returns all errors in the settings, joined.
func (c *Config) Check() error {
	faults := []error{config.CheckURL("LILYPAD_AUTH_URL", c.AuthURL)}
	if c.Issuer != "" {
		faults = append(faults, config.CheckURL("LILYPAD_ISSUER", c.Issuer))
	}
	for _, rule := range []struct {
		bad  bool
		text string
	}{
		{c.RoutesFile == "", "LILYPAD_ROUTES_FILE is required: without routes no request passes"},
		{(c.ClientKeyFile == "") == (c.ClientAssertionFile == ""), "set exactly one of LILYPAD_CLIENT_KEY_FILE and LILYPAD_CLIENT_ASSERTION_FILE"},
		{c.ClientKeyFile != "" && c.ClientID == "", "LILYPAD_CLIENT_ID is required with LILYPAD_CLIENT_KEY_FILE"},
		{c.VerifyListen != "" && len(c.TrustedProxies) == 0, "LILYPAD_VERIFY_LISTEN needs LILYPAD_TRUSTED_PROXIES: whoever may call it receives access tokens"},
		{c.ExtAuthzListen != "" && len(c.TrustedProxies) == 0, "LILYPAD_EXT_AUTHZ_LISTEN needs LILYPAD_TRUSTED_PROXIES: whoever may call it receives access tokens"},
		{c.MaxSessions < 1, "LILYPAD_MAX_SESSIONS must be 1 at least"},
		{c.HeaderTimeout <= 0, "LILYPAD_HEADER_TIMEOUT must be above zero"},
		{c.ShutdownDelay < 0, "LILYPAD_SHUTDOWN_DELAY must not be below zero"},
		{c.AccessLogSample < 1, "LILYPAD_ACCESS_LOG_SAMPLE must be 1 at least"},
	} {
		if rule.bad {
			faults = append(faults, errors.New(rule.text))
		}
	}
	if c.TrustedHops < 0 {
		faults = append(faults, fmt.Errorf("LILYPAD_TRUSTED_HOPS: %d is below zero", c.TrustedHops))
	}
	for _, pattern := range c.DropHeaders {
		if err := forward.CheckDropField(pattern); err != nil {
			faults = append(faults, fmt.Errorf("LILYPAD_DROP_HEADERS: %w", err))
		}
	}
	faults = append(faults, checkPage("LILYPAD_LOGIN_PATH", c.LoginPath, route.LoginPage),
		checkPage("LILYPAD_REGISTER_PATH", c.RegisterPath, route.RegisterPage))
	_, err := c.trusted()
	return errors.Join(append(faults, c.check(), err)...)
}

// checkPage returns an error unless path can be that of a page of the application, or is
// hosted, the page of the auth service.
func checkPage(setting, path, hosted string) error {
	if path == hosted {
		return nil
	}
	if redirect.Safe(path) == "" || path == strings.TrimSuffix(endpoints.Prefix, "/") || strings.HasPrefix(path, endpoints.Prefix) || strings.ContainsAny(path, "?#%") {
		return fmt.Errorf("%s: %q must be a path of the application, such as /login, or %s", setting, path, hosted)
	}
	return nil
}

// issuer returns the audience of client assertions.
func (c *Config) issuer() string {
	if c.Issuer != "" {
		return c.Issuer
	}
	return c.AuthURL
}

func (c *Config) trusted() ([]netip.Prefix, error) {
	var all []netip.Prefix
	var faults []error
	for _, text := range c.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var addr netip.Addr
			addr, err = netip.ParseAddr(text)
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if err != nil || p.Addr().Is4In6() {
			faults = append(faults, fmt.Errorf("LILYPAD_TRUSTED_PROXIES: %q is not an address or range such as 192.0.2.7 or 192.0.2.0/28", text))
			continue
		}
		all = append(all, p.Masked())
	}
	return all, errors.Join(faults...)
}

// fewHosts is the number of host bits up to which a range of trusted proxies is not
// warned about: 16 addresses.
const fewHosts = 4

// wide reports whether a range has more than a few hosts, so that it may contain
// others than the proxies. Loopback addresses are exempt.
func wide(p netip.Prefix) bool {
	return !p.Addr().IsLoopback() && p.Addr().BitLen()-p.Bits() > fewHosts
}
