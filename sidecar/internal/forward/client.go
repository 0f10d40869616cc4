package forward

import (
	"net/netip"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Client is who sent a request, as far as that can be known.
type Client struct {
	Addr  netip.Addr // of the client, or of the peer where no trusted proxy says more
	IP    string     // the same as text
	Proto string     // http or https, as the client used it
	Host  string     // the host the client asked for
}

// Client applies the one rule about forwarded fields. Each proxy adds the address that it was asked from to the end of
// X-Forwarded-For, so with n trusted proxies in front the n-th address from the end is the client's; what stands before
// it is what the client says. Without that address, or where it is malformed, the client counts as the peer.
//
// X-Forwarded-Proto and X-Forwarded-Host are read in the same way, but most proxies replace them, so that fewer values
// are as good. Forwarded (RFC 7239) is not read.
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

// Trusts reports whether x comes from one of the trusted proxies' addresses.
func (f *Forwarder) Trusts(x *http1.Exchange) bool {
	addr := x.Remote().Addr()
	for _, p := range f.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an address, with a port or without.
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

// fromEnd returns the n-th element from the end of the lists that are the values of name, and whether there are so many.
// With fewer it returns the first one, or "".
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
