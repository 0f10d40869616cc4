package replicas

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

var dialer = &net.Dialer{Timeout: 2 * time.Second}

// A door is an address that stays, before one server or several that do not: a
// Kubernetes Service, in the small. Each connection goes to the next server,
// and to the one after it when that refuses.
type door struct {
	t       *testing.T
	address string
	// seen, which may be nil, is told of every piece that a client sends, and to
	// which server. Set it before anybody comes.
	seen func(server string, piece []byte)

	mu       sync.Mutex
	servers  []string
	turn     int
	listener net.Listener // nil: shut
	open     map[net.Conn]struct{}
	carrying sync.WaitGroup
}

// newDoor opens a door at address.
func newDoor(t *testing.T, address string, servers ...string) *door {
	t.Helper()
	d := &door{t: t, address: address, servers: servers, open: make(map[net.Conn]struct{})}
	d.unlock()
	t.Cleanup(func() {
		d.shut()
		d.carrying.Wait()
	})
	return d
}

// lead has new connections go to these servers. Those that are open stay.
func (d *door) lead(servers ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.servers = servers
}

// shut cuts all connections and refuses new ones, until unlock.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		_ = d.listener.Close()
		d.listener = nil
	}
	for conn := range d.open {
		_ = conn.Close()
	}
}

// unlock lets connections through again.
func (d *door) unlock() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", d.address)
	if err != nil {
		d.t.Fatalf("door: %v", err)
	}
	d.listener = l
	d.carrying.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.carrying.Go(func() { d.carry(conn) })
		}
	})
}

// carry takes one connection through.
func (d *door) carry(client net.Conn) {
	defer client.Close()
	server, name := d.dial()
	if server == nil {
		return
	}
	defer server.Close()
	if !d.keep(client, server) {
		return
	}
	defer d.forget(client, server)
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server)
		_ = client.Close() // a server that ended has ended the connection
	}()
	piece := make([]byte, 32<<10)
	for {
		n, err := client.Read(piece)
		if n > 0 && d.seen != nil {
			d.seen(name, piece[:n])
		}
		if n > 0 {
			if _, err := server.Write(piece[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = server.Close()
	<-back
}

// dial connects to the server whose turn it is, or the next that does not refuse.
func (d *door) dial() (net.Conn, string) {
	d.mu.Lock()
	servers, turn := d.servers, d.turn
	d.turn++
	d.mu.Unlock()
	for i := range servers {
		name := servers[(turn+i)%len(servers)]
		if conn, err := dialer.Dial("tcp", name); err == nil {
			return conn, name
		}
	}
	return nil, ""
}

// keep notes connections that shut is to end; false: it is shut.
func (d *door) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return false
	}
	for _, conn := range conns {
		d.open[conn] = struct{}{}
	}
	return true
}

func (d *door) forget(conns ...net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range conns {
		delete(d.open, conn)
	}
}
