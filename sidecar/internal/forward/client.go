package forward

import (
	"net/netip"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Client is the sender of a request, as far as it is known.
type Client struct {
	Addr  netip.Addr // of the client, or of the peer without a trusted proxy
	IP    string     // the same as text
	Proto string     // http or https, as used by the client
	Host  string     // the host that the client requested
}

// Client returns the client of x by its X-Forwarded fields. Each proxy appends its peer's address
// to X-Forwarded-For, so with n trusted proxies in front, the client's is the n-th from the end;
// those before it are forgeable. If it is missing or malformed, the client is the peer.
//
// X-Forwarded-Proto and X-Forwarded-Host are read in the same way, but may have fewer values,
// because most proxies replace them. Forwarded (RFC 7239) is ignored.
func (f *Forwarder) Client(x *http1.Exchange) Client {
	q := &x.Request
	c := Client{Addr: x.Remote().Addr(), IP: x.RemoteIP(), Proto: f.scheme, Host: q.Host}
	if f.hops == 0 || len(f.trusted) > 0 && !f.Trusts(x) {
		return c
	}
	if hop, counted := fromEnd(q.Header, "X-Forwarded-For", f.hops); counted {
		if addr, ok := parseHop(hop); ok {
			c.Addr, c.IP = addr, addr.String()
		}
	}
	proto, _ := fromEnd(q.Header, "X-Forwarded-Proto", f.hops)
	switch strings.ToLower(proto) {
	case "https", "wss":
		c.Proto = "https"
	case "http", "ws":
		c.Proto = "http"
	}
	if host, _ := fromEnd(q.Header, "X-Forwarded-Host", f.hops); http1.IsHost(host) {
		c.Host = host
	}
	return c
}

// Trusts reports whether the peer of x is a trusted proxy.
func (f *Forwarder) Trusts(x *http1.Exchange) bool {
	addr := x.Remote().Addr()
	for _, p := range f.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop parses an address with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			withPort, err = netip.ParseAddrPort(s + ":0") // an IPv6 address in brackets
		}
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// fromEnd returns the n-th element from the end of the list in the fields called name. If there are
// fewer, it returns the first one or "", and counted is false.
func fromEnd(h http1.Header, name string, n int) (element string, counted bool) {
	total := 0
	for range h.Tokens(name) {
		total++
	}
	at := total - n
	for element = range h.Tokens(name) {
		if at <= 0 {
			break
		}
		at--
	}
	return element, total >= n
}
