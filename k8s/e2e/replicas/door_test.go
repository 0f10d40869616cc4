package replicas

import (
	"context"
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

	mu       sync.Mutex
	seen     watcher
	servers  []string
	turn     int
	listener net.Listener // nil: shut
	open     map[net.Conn]struct{}
	carrying sync.WaitGroup
}

// A watcher is told of a piece that a client sends: to which server, and what
// is closed when that next answers.
type watcher func(server string, piece []byte, answered <-chan struct{})

// newDoor opens a door at address.
func newDoor(t *testing.T, address string, servers ...string) *door {
	t.Helper()
	d := &door{t: t, address: address, seen: func(string, []byte, <-chan struct{}) {}, servers: servers, open: make(map[net.Conn]struct{})}
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
	var mu sync.Mutex
	answered := make(chan struct{})
	back := make(chan struct{})
	go func() {
		defer close(back)
		relay(client, server, func([]byte) {
			mu.Lock()
			defer mu.Unlock()
			close(answered)
			answered = make(chan struct{})
		})
	}()
	relay(server, client, func(piece []byte) {
		mu.Lock()
		next := answered
		mu.Unlock()
		d.watcher()(name, piece, next)
	})
	<-back
}

// relay copies until one side ends, and ends the other.
func relay(to, from net.Conn, each func(piece []byte)) {
	defer to.Close()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			each(piece[:n])
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// watch has f told of what clients send from now on.
func (d *door) watch(f watcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = f
}

func (d *door) watcher() watcher {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
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
