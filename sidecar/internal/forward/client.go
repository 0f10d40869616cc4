package forward

import (
	"net/netip"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Client is who sent a request, as far as that can be known.
type Client struct {
	Addr  netip.Addr // of the client: the peer, or the last hop that is not a trusted proxy
	IP    string     // the same as text
	Proto string     // http or https, as the client used it
	Host  string     // the host the client asked for
}

// Client applies the one rule about forwarded fields: only a trusted peer is believed, and only about the hop before
// it. So the address is the last one in the chain that no trusted proxy owns; what stands left of it is hearsay.
func (f *Forwarder) Client(x *http1.Exchange) Client {
	q := &x.Request
	c := Client{Addr: x.Remote().Addr(), IP: x.RemoteIP(), Proto: f.scheme, Host: q.Host}
	if len(f.trusted) == 0 || !f.isTrusted(c.Addr) {
		return c
	}
	var chain []string
	for hop := range q.Header.Tokens("X-Forwarded-For") {
		chain = append(chain, hop)
	}
	for i := len(chain) - 1; i >= 0 && f.isTrusted(c.Addr); i-- {
		addr, ok := parseHop(chain[i])
		if !ok {
			break // nothing left of it can be trusted either
		}
		c.Addr, c.IP = addr, addr.String()
	}
	switch proto := last(q.Header, "X-Forwarded-Proto"); strings.ToLower(proto) {
	case "https", "wss":
		c.Proto = "https"
	case "http", "ws":
		c.Proto = "http"
	}
	if host := last(q.Header, "X-Forwarded-Host"); http1.IsHost(host) {
		c.Host = host
	}
	return c
}

// Trusts reports whether x comes from a trusted proxy itself.
func (f *Forwarder) Trusts(x *http1.Exchange) bool { return f.isTrusted(x.Remote().Addr()) }

func (f *Forwarder) isTrusted(addr netip.Addr) bool {
	for _, p := range f.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an address, with a port or without.
func parseHop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func last(h http1.Header, name string) string {
	value := ""
	for element := range h.Tokens(name) {
		value = element
	}
	return value
}
