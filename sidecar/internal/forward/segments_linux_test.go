package forward_test

import (
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Chunks that are there already leave together, in either direction.
func TestSmallChunksLeaveTogether(t *testing.T) {
	t.Parallel()
	const chunks = 1000
	segments := make(chan uint32, 1)
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		body, err := io.ReadAll(httputil.NewChunkedReader(p.r))
		if len(body) != chunks || err != nil {
			t.Errorf("%d bytes came, %v", len(body), err)
		}
		segments <- segmentsIn(t, p.nc)
		p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", chunks) + "0\r\n\r\n")
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	c.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", chunks) + "0\r\n\r\n")
	c.expect("POST", 200, strings.Repeat("x", chunks))
	if n := <-segments; n > chunks/50 {
		t.Errorf("%d segments to the upstream", n)
	}
	if n := segmentsIn(t, c.nc); n > chunks/50 {
		t.Errorf("%d segments to the client", n)
	}
}

// segmentsIn returns how many segments with data the connection has received: each write makes one
// at least.
func segmentsIn(t *testing.T, nc *net.TCPConn) (n uint32) {
	t.Helper()
	raw, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		n = info.Data_segs_in
	})
	return n
}
