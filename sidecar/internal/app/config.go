// Package app wires the sidecar: New reads the policy and listens, Run serves
// until it is told to stop. handler.go is the way of one request through it.
package app

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"lilypad.example/services/pkg/config"
)

// Config is everything that can be set for sidecar serve.
type Config struct {
	config.Common

	Listen     string `default:":8080" help:"Address that the Service and so the ingress reaches."`
	RoutesFile string `placeholder:"FILE" help:"Policy in YAML: upstreams and routes."`
	AuthURL    string `placeholder:"URL" help:"The auth service."`
	Issuer     string `placeholder:"URL" help:"Name of the auth service as an issuer; its URL if not given."`

	ClientID            string `placeholder:"ID" help:"Our name at the auth service; with a client key."`
	ClientKeyFile       string `placeholder:"FILE" help:"Private P-256 key in PEM form that signs our assertions (RFC 7523)."`
	ClientAssertionFile string `placeholder:"FILE" help:"ServiceAccount token projected for audience lilypad-auth; instead of a client key."`

	TrustedProxies []string `placeholder:"CIDR" help:"Proxies in front whose X-Forwarded headers are believed. Default: none."`

	LoginPath    string `default:"/login" help:"The application's login page."`
	RegisterPath string `default:"/register" help:"The application's registration page."`
	HomePath     string `default:"/" help:"Where a browser goes after signing in without a wish."`

	MaxSessions    int           `default:"10000" help:"Sessions kept in memory at the most."`
	MaxConnections int           `default:"10000" help:"Client connections at the most."`
	HeaderTimeout  time.Duration `default:"60s" help:"How long an upstream may take to begin its answer."`

	AccessLog       string `default:"all" enum:"all,sampled,errors,none" help:"Which requests are logged: ${enum}."`
	AccessLogSample int    `default:"100" help:"With access log sampled: one of so many is logged, and each that went wrong."`
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
		{c.MaxSessions < 1, "LILYPAD_MAX_SESSIONS must be 1 at least"},
		{c.MaxConnections < 1, "LILYPAD_MAX_CONNECTIONS must be 1 at least"},
		{c.HeaderTimeout <= 0, "LILYPAD_HEADER_TIMEOUT must be above zero"},
		{c.AccessLogSample < 1, "LILYPAD_ACCESS_LOG_SAMPLE must be 1 at least"},
	} {
		if rule.bad {
			faults = append(faults, errors.New(rule.text))
		}
	}
	_, err := c.trusted()
	return errors.Join(append(faults, err)...)
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
			faults = append(faults, fmt.Errorf("LILYPAD_TRUSTED_PROXIES: %q is not of the form 10.0.0.0/8", text))
			continue
		}
		all = append(all, p)
	}
	return all, errors.Join(faults...)
}
