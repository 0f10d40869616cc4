package forward

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Config is what all upstreams share.
type Config struct {
	// CookieNames are our cookies: removed from requests, and never set by an upstream.
	CookieNames []string
	// TrustedHops is how many proxies in front add to X-Forwarded-For. Default: 1 with TrustedProxies, else none, which
	// makes each peer the client itself.
	TrustedHops int
	// TrustedProxies are the peers that are believed about X-Forwarded-*. Default: with TrustedHops any peer, else none.
	TrustedProxies []netip.Prefix
	// Scheme is what X-Forwarded-Proto says when no trusted proxy says otherwise. Default: https.
	Scheme string
	// DropFields are further request fields that no client may send to an app; see CheckDropField.
	DropFields []string
	// Budget is that of the server whose exchanges are forwarded; nil for no bounds.
	Budget *http1.Budget
}

// Forwarder holds the rules.
type Forwarder struct {
	rules   rules
	cookies []string
	hops    int
	trusted []netip.Prefix
	scheme  string
	buffers *http1.Buffers
}

// New returns the rules of cfg.
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

// RequestEdit is what the sidecar adds to a request. Each of these arrives exactly once, whatever the client sent.
type RequestEdit struct {
	Authorization string // the whole value, "Bearer …"; none when empty
	RequestID     string // X-Request-Id; the exchange's own when empty
	Client        Client // the X-Forwarded-* fields; found out by Forwarder.Client when zero
	Fields        []http1.Field
}

// ResponseEdit is what the sidecar changes in an answer.
type ResponseEdit struct {
	SetCookie    []string // whole values, added to what the upstream sets
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

// Error says what went wrong with an exchange, and what to answer.
type Error struct {
	Reason http1.Reason
	Status int // 0 when nothing can be answered any more: the client is gone, or has half an answer
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("forward: %s: %v", e.Reason, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Status returns the status that err asks for, or 0 when nothing can be answered.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 500
}

var (
	errSwitch   = errors.New("the upstream switches to a protocol that was not asked for")
	errBusy     = errors.New("the upstream has as many exchanges as it may have")
	errInterims = errors.New("the upstream sends no end of interim answers")
	errReplay   = errors.New("forward: a request with a body cannot be sent again")
)

// ParseAddress reads an upstream's URL, "http://host:port", and returns the address to dial.
func ParseAddress(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", fmt.Errorf("upstream %q: %w", raw, err)
	case u.Scheme != "http":
		return "", fmt.Errorf("upstream %q: only http:// is spoken to upstreams", raw)
	case u.Host == "" || !http1.IsHost(u.Host):
		return "", fmt.Errorf("upstream %q: no host", raw)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("upstream %q: must be http://host:port and nothing else", raw)
	case u.Port() == "":
		return u.Host + ":80", nil
	}
	return u.Host, nil
}
