package forward

import (
	"errors"
	"fmt"
	"net/netip"

	"lilypad.example/sidecar/internal/http1"
)

// Config configures a Forwarder. It applies to all upstreams.
type Config struct {
	// CookieNames are the sidecar's cookies. They are removed from requests; no upstream can set
	// them.
	CookieNames []string
	// TrustedHops is the number of proxies in front that append to X-Forwarded-For. The default is
	// 1 with TrustedProxies, else 0: each peer is the client.
	TrustedHops int
	// TrustedProxies are the peers whose X-Forwarded-* fields are trusted. The default is any peer
	// with TrustedHops, else none.
	TrustedProxies []netip.Prefix
	// Scheme is sent as X-Forwarded-Proto when no trusted proxy provides one. Default: https.
	Scheme string
	// DropFields are more request fields to remove; see CheckDropField.
	DropFields []string
	// Budget is the budget of the server whose exchanges are forwarded; nil means no limit.
	Budget *http1.Budget
}

// Forwarder holds the rules by which requests and responses are forwarded.
type Forwarder struct {
	rules   rules
	dropped []string
	cookies []string
	hops    int
	trusted []netip.Prefix
	scheme  string
	buffers *http1.Buffers
}

// New returns a Forwarder for cfg.
func New(cfg Config) *Forwarder {
	if cfg.Scheme == "" {
		cfg.Scheme = "https"
	}
	if cfg.TrustedHops == 0 && len(cfg.TrustedProxies) > 0 {
		cfg.TrustedHops = 1
	}
	return &Forwarder{
		rules:   newRules(cfg.DropFields),
		dropped: cfg.DropFields,
		cookies: cfg.CookieNames,
		hops:    cfg.TrustedHops,
		trusted: cfg.TrustedProxies,
		scheme:  cfg.Scheme,
		buffers: http1.NewBuffers(cfg.Budget),
	}
}

// RequestEdit is what the sidecar adds to a request. Each field replaces the client's.
type RequestEdit struct {
	Target        string        // replaces the request's target, unless empty; in origin form
	Prefix        string        // X-Forwarded-Prefix: what Target lacks; omitted when empty
	Known         bool          // the client is known: see UpstreamConfig.MaxExchanges
	Authorization string        // the whole value, "Bearer …"; omitted when empty
	RequestID     string        // X-Request-Id; default: Exchange.ID
	Client        Client        // the X-Forwarded-* fields; default: Forwarder.Client
	Fields        []http1.Field // further fields
}

// ResponseEdit is what the sidecar changes in a response.
type ResponseEdit struct {
	SetCookie    []string      // whole values, in addition to the upstream's
	CacheControl string        // replaces the upstream's, unless empty
	Fields       []http1.Field // replace the upstream's fields of the same names
}

func (e *RequestEdit) valid() bool {
	return field("Authorization", e.Authorization) && field("X-Request-Id", e.RequestID) && field("X-Forwarded-Prefix", e.Prefix) &&
		fields(e.Fields)
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

// Error says why an exchange failed, and with which status to answer.
type Error struct {
	Reason http1.Reason
	Status int // 0 if the client has left or has received part of a response
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("forward: %s: %v", e.Reason, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Status returns the status to answer with after err, or 0 if nothing can be answered any more.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 500
}

var (
	errSwitch   = errors.New("the upstream switched to a protocol that was not requested")
	errBusy     = errors.New("the upstream is at its limit of concurrent exchanges")
	errInterims = errors.New("the upstream sent too many interim responses")
	errReplay   = errors.New("forward: a request with a body cannot be repeated")
)
