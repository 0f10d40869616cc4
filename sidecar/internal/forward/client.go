package forward

import (
	"net/netip"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Client describes who sent a request, as far as it is known.
type Client struct {
	Addr  netip.Addr // of the client, or of the peer without a trusted proxy
	IP    string     // Addr as text
	Proto string     // http or https, as used by the client
	Host  string     // the host that the client requested
}

// port returns the port that the client connected to: that of Host, or the default of Proto.
func (c *Client) port() string {
	if colon := strings.LastIndexByte(c.Host, ':'); colon > strings.LastIndexByte(c.Host, ']') && colon+1 < len(c.Host) {
		return c.Host[colon+1:]
	}
	if c.Proto == "http" {
		return "80"
	}
	return "443"
}

// Client determines the client of a request. Each proxy appends the address of its peer to
// X-Forwarded-For, so with n trusted proxies in front, the n-th address from the end is the
// client's; those before it are claims of the client. Without that address, or if it is malformed,
// the client is the peer.
//
// X-Forwarded-Proto and X-Forwarded-Host are read in the same way, but most proxies replace them,
// so fewer values are accepted. Forwarded (RFC 7239) is not read.
func (f *Forwarder) Client(x *http1.Exchange) Client {
	return f.client(&x.Request, x.Remote().Addr(), x.RemoteIP())
}

// ClientOf is Client for a request that came from peer in another way than by HTTP/1.
func (f *Forwarder) ClientOf(q *http1.Request, peer netip.Addr) Client {
	return f.client(q, peer, peer.String())
}

func (f *Forwarder) client(q *http1.Request, peer netip.Addr, peerIP string) Client {
	c := Client{Addr: peer, IP: peerIP, Proto: f.scheme, Host: q.Host}
	if f.hops == 0 || len(f.trusted) > 0 && !f.Trusts(peer) {
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

// Trusts reports whether peer is a trusted proxy.
func (f *Forwarder) Trusts(peer netip.Addr) bool {
	for _, p := range f.trusted {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// parseHop parses an address with an optional port.
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

// fromEnd returns the n-th element from the end of the lists in the values of name, and whether
// there are at least n. If there are fewer it returns the first one, or "".
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
