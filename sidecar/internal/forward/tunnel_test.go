package forward_test

import (
	"io"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

const (
	upgrade  = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
	switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\nSet-Cookie: " + ourCookie + "=x\r\n\r\n"
)

// echoSocket accepts a WebSocket and sends back what comes, in lines, and says goodbye after the
// client has.
func echoSocket(t *testing.T) string {
	return rawUpstream(t, func(p *peer) {
		head := p.head()
		if strings.Count(head, "Connection: Upgrade\r\nUpgrade: websocket\r\n") != 1 || strings.Count(head, "pgrade") != 2 ||
			!strings.Contains(head, "Sec-WebSocket-Key: k\r\n") {
			t.Errorf("the upstream sees:\n%s", head)
		}
		p.write(switched + "welcome\n")
		for {
			line, err := p.r.ReadString('\n')
			if err != nil {
				p.write("bye\n")
				return
			}
			p.write(line)
		}
	})
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	p := newProxy(t, echoSocket(t), setup{response: forward.ResponseEdit{SetCookie: []string{"new=1"}}})
	c := dial(t, p.addr)
	c.write(upgrade + "early\n")
	if got, want := c.head(), "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a\r\nSet-Cookie: new=1\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"; got != want {
		t.Errorf("the client sees:\n%s", got)
	}
	for _, line := range []string{"welcome\n", "early\n"} {
		if got, err := c.r.ReadString('\n'); got != line || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	}
	for i := range 100 {
		line := strings.Repeat("x", i*1000) + "\n"
		c.write(line)
		if got, err := c.r.ReadString('\n'); got != line || err != nil {
			t.Fatalf("line %d: read %d bytes, %v", i, len(got), err)
		}
	}
	_ = c.nc.CloseWrite() // the other direction goes on
	if rest, err := io.ReadAll(c.r); string(rest) != "bye\n" || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	if o := p.outcomes.await(t, 1); o.facts.Status != 101 || o.facts.Reason != "" || o.err != nil || o.facts.BytesOut < 4_950_000 || p.up.Idle() != 0 {
		t.Errorf("outcome: %+v, %d connections kept", o, p.up.Idle())
	}
}

func TestWebSocketEndsWithAbort(t *testing.T) {
	t.Parallel()
	handles := make(chan http1.Handle, 1)
	left := newJournal[bool]()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write(switched)
		_, _ = io.Copy(io.Discard, p.r)
		left.add(true)
	})
	p := newProxy(t, upstream, setup{handler: func(p *proxy, x *http1.Exchange) error {
		handles <- x.Handle()
		return p.forward(x)
	}})
	c := dial(t, p.addr)
	c.write(upgrade)
	c.head()
	(<-handles).Abort()
	c.gone()
	left.await(t, 1)
	if o := p.outcomes.await(t, 1); o.facts.Reason != http1.ReasonAborted {
		t.Errorf("outcome: %+v", o)
	}
}

// Bytes behind a refused upgrade are a request, not a tunnel (and the other way round above).
func TestRefusedUpgrade(t *testing.T) {
	t.Parallel()
	p := newProxy(t, answering(t, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"), setup{})
	c := dial(t, p.addr)
	c.write(upgrade + get("/"))
	c.expect("GET", 426, "no")
	c.expect("GET", 426, "no")
}

// No other protocol can be reached by an upgrade.
func TestOtherUpgradesAreNotPassedOn(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject})
	for _, lines := range [][]string{
		{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		{"Connection: Upgrade", "Upgrade: websocket, h2c"},
		{"Connection: Upgrade", "Upgrade: TLS/1.0"},
		{"Upgrade: websocket"},
		{"Connection: Upgrade"},
	} {
		if got := seen(t, p, get("/", lines...)); got != injected+"\r\n" {
			t.Errorf("with %q the upstream sees:\n%s", lines, got)
		}
	}
}
