// Package app wires the sidecar: New reads the policy and listens, Run serves
// until it is told to stop. handler.go is the way of one request through it.
package app

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"lilypad.example/services/pkg/config"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

// Config is everything that can be set for sidecar serve.
type Config struct {
	config.Common

	Listen       string `default:":8080" help:"Address that the Service and so the ingress reaches."`
	VerifyListen string `placeholder:"ADDRESS" help:"Address where trusted proxies ask GET /auth/verify (forward auth). Default: nowhere."`

	RoutesFile string `placeholder:"FILE" help:"Policy in YAML: upstreams and routes."`
	AuthURL    string `placeholder:"URL" help:"The auth service."`
	Issuer     string `placeholder:"URL" help:"Name of the auth service as an issuer; its URL if not given."`

	ClientID            string `placeholder:"ID" help:"Our name at the auth service; with a client key."`
	ClientKeyFile       string `placeholder:"FILE" help:"Private P-256 key in PEM form that signs our assertions (RFC 7523). Changes are picked up while running."`
	ClientAssertionFile string `placeholder:"FILE" help:"ServiceAccount token projected for audience lilypad-auth; instead of a client key."`

	TrustedHops    int      `placeholder:"N" help:"Proxies in front that add to X-Forwarded-For: the client is the Nth address from its end. Default: 1 with trusted proxies, else 0: the client is the peer."`
	TrustedProxies []string `placeholder:"ADDRESS" help:"Addresses or CIDR ranges of the proxies that connect to us: nobody else is believed about X-Forwarded headers. Default: with trusted hops everybody, else nobody."`
	DropHeaders    []string `placeholder:"NAME" help:"More request headers that no client may send to the application, such as X-Tenant or Acme-*."`
	PublicScheme   string   `default:"https" enum:"https,http" help:"Scheme of the application's address in the browser, unless a trusted proxy says it in X-Forwarded-Proto: ${enum}."`

	LoginPath    string `default:"/login" help:"The application's login page."`
	RegisterPath string `default:"/register" help:"The application's registration page."`
	HomePath     string `default:"/" help:"Where a browser goes after signing in without a wish."`

	ShutdownDelay time.Duration `default:"5s" help:"How long to go on accepting connections after SIGTERM, before draining. In the second half each answer closes its connection."`
	MaxSessions   int           `default:"10000" help:"Sessions kept in memory at the most."`
	HeaderTimeout time.Duration `default:"60s" help:"How long an upstream may take to begin its answer; 504 beyond."`

	Limits

	AccessLog       string `default:"all" enum:"all,sampled,errors,none" help:"Which requests are logged: ${enum}."`
	AccessLogSample int    `default:"100" help:"With access log sampled: one of so many is logged, and each that went wrong."`

	memory int64 // that the process may use; 0 for any
}

// Limits are what one client, or all of them, can take of us.
type Limits struct {
	ClientMemory             int64 `placeholder:"BYTES" help:"Memory that clients can take in all; beyond, the slowest are closed or new requests get 503. Default: half of GOMEMLIMIT or of the container's limit; 256 MiB without either."`
	MaxConnections           int   `default:"10000" help:"Client connections at the most; 503 beyond."`
	MaxConnectionsPerAddress int   `default:"0" help:"Connections of one client address (IPv6: /64 network) at the most, 0 for any number; 503 beyond. Leave it off behind an ingress: all connections have its address."`
	MaxUpstreamRequests      int   `default:"0" help:"Requests and WebSockets at one upstream at a time, 0 for any number; 503 beyond. A quarter is kept for signed-in users."`

	MaxHeaderBytes int   `default:"32768" help:"Bytes of a request line and header at the most, 32768 being all there is room for; 431 beyond."`
	MaxHeaders     int   `default:"100" help:"Header fields of a request at the most; 431 beyond."`
	MaxBody        int64 `default:"2147483648" help:"Bytes of a request's body at the most, 0 for any number; 413 beyond."`

	ReadHeaderTimeout time.Duration `default:"10s" help:"How long a request's header may take from its first byte; 408 beyond."`
	ReadBodyTimeout   time.Duration `default:"30s" help:"How long a request's body may stand still; 408 beyond."`
	MinBodyRate       int           `default:"128" help:"Bytes a second that a body must bring, which may lag by the time it may stand still, 0 for any; 408 beyond."`
	MaxBodyTime       time.Duration `default:"1h" help:"How long a request's body may take in all, 0 for any time; 408 beyond."`
	WriteTimeout      time.Duration `default:"30s" help:"How long a client may take to accept each piece, of 32 KiB at the most, of an answer."`
	IdleTimeout       time.Duration `default:"120s" help:"How long a connection may wait for its next request: longer than the ingress's, so that it closes first."`
}

// check returns what is wrong.
func (l *Limits) check() error {
	var faults []error
	for _, n := range []struct {
		setting     string
		value, most int
	}{
		{"LILYPAD_MAX_CONNECTIONS", l.MaxConnections, math.MaxInt},
		{"LILYPAD_MAX_HEADER_BYTES", l.MaxHeaderBytes, http1.MaxHeadBytes},
		{"LILYPAD_MAX_HEADERS", l.MaxHeaders, math.MaxInt},
	} {
		if n.value < 1 || n.value > n.most {
			faults = append(faults, fmt.Errorf("%s: %d is not between 1 and %d", n.setting, n.value, n.most))
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

// Check returns all faults that the settings have by themselves.
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
		{c.VerifyListen != "" && len(c.TrustedProxies) == 0, "LILYPAD_VERIFY_LISTEN needs LILYPAD_TRUSTED_PROXIES: who may ask there is given access tokens"},
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
	_, err := c.trusted()
	return errors.Join(append(faults, c.check(), err)...)
}

// issuer is the audience of our assertions.
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

// fewHosts is how many bits of an address may differ within a range that holds
// proxies alone: 16 addresses.
const fewHosts = 4

// wide reports whether a range holds more than a few hosts, so that others than
// the proxies may be among them. Loopback addresses are this machine's.
func wide(p netip.Prefix) bool {
	return !p.Addr().IsLoopback() && p.Addr().BitLen()-p.Bits() > fewHosts
}
