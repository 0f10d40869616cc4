package forward

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Config is the configuration that all upstreams share.
type Config struct {
	// CookieNames are the sidecar's cookies. They are removed from requests, and upstreams cannot
	// set them.
	CookieNames []string
	// TrustedHops is the number of proxies in front that append to X-Forwarded-For. Default: 1 with
	// TrustedProxies, else 0, which means that the peer is the client.
	TrustedHops int
	// TrustedProxies are the peers whose X-Forwarded-* are trusted. Default: any peer with
	// TrustedHops, else none.
	TrustedProxies []netip.Prefix
	// Scheme is the X-Forwarded-Proto unless a trusted proxy sends one. Default: https.
	Scheme string
	// DropFields are additional request fields to drop; see CheckDropField.
	DropFields []string
	// Budget is the memory budget of the server whose exchanges are forwarded; nil for no limit.
	Budget *http1.Budget
}

// Forwarder holds the rules for fields and for trusted proxies.
type Forwarder struct {
	rules   rules
	cookies []string
	hops    int
	trusted []netip.Prefix
	scheme  string
	buffers *http1.Buffers
}

// New returns a Forwarder.
func New(cfg Config) *Forwarder {
	if cfg.Scheme == "" {
		cfg.Scheme = "https"
	}
	if cfg.TrustedHops == 0 && len(cfg.TrustedProxies) > 0 {
		cfg.TrustedHops = 1
	}
	return &Forwarder{
		rules:   newRules(cfg.DropFields),
		cookies: cfg.CookieNames,
		hops:    cfg.TrustedHops,
		trusted: cfg.TrustedProxies,
		scheme:  cfg.Scheme,
		buffers: http1.NewBuffers(cfg.Budget),
	}
}

// RequestEdit is what the sidecar adds to a request. It replaces fields of these names from the
// client.
type RequestEdit struct {
	Authorization string // the whole value, "Bearer …"; none when empty
	RequestID     string // X-Request-Id; the exchange's own when empty
	Client        Client // the X-Forwarded-* fields; Forwarder.Client if zero
	Fields        []http1.Field
}

// ResponseEdit is what the sidecar changes in a response.
type ResponseEdit struct {
	SetCookie    []string // whole values, in addition to the upstream's
	CacheControl string   // replaces the upstream's, unless empty
	Fields       []http1.Field
}

func (e *RequestEdit) valid() bool {
	return field("Authorization", e.Authorization) && field("X-Request-Id", e.RequestID) && fields(e.Fields)
}

func (e *ResponseEdit) valid() bool {
	for _, v := range e.SetCookie {
		if !field("Set-Cookie", v) {
			return false
		}
	}
	return field("Cache-Control", e.CacheControl) && fields(e.Fields)
}

func field(name, value string) bool {
	return value == "" || http1.Field{Name: name, Value: value}.Valid()
}

func fields(list []http1.Field) bool {
	for _, f := range list {
		if !f.Valid() {
			return false
		}
	}
	return true
}

// Error is the failure of an exchange.
type Error struct {
	Reason http1.Reason
	Status int // to respond with; 0 if the client is gone or has part of a response
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("forward: %s: %v", e.Reason, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Status returns the status to respond with, or 0 if no response is possible.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 500
}

var (
	errSwitch   = errors.New("the upstream switches to a protocol that was not requested")
	errBusy     = errors.New("the upstream has reached its limit of exchanges")
	errInterims = errors.New("the upstream sends too many interim responses")
	errReplay   = errors.New("forward: a request with a body cannot be sent again")
)

// ParseAddress parses an upstream's URL, http://host:port, and returns the address to dial.
func ParseAddress(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", fmt.Errorf("upstream %q: %w", raw, err)
	case u.Scheme != "http":
		return "", fmt.Errorf("upstream %q: must begin with http://", raw)
	case u.Host == "" || !http1.IsHost(u.Host):
		return "", fmt.Errorf("upstream %q: no host", raw)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("upstream %q: must be http://host:port and nothing else", raw)
	case u.Port() == "":
		return u.Host + ":80", nil
	}
	return u.Host, nil
}
