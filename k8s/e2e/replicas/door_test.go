package replicas

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

var dialer = &net.Dialer{Timeout: 2 * time.Second}

// door is a TCP proxy with a fixed address in front of one or more servers, like a Kubernetes
// Service. Each connection goes to the next server, or to the one after it if that refuses.
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

// watcher is called when a client sends data: with the address of the server, and a channel that is
// closed when the server responds.
type watcher func(server string, piece []byte, answered <-chan struct{})

// newDoor starts a door at address.
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

// lead sets the servers for new connections. Open connections remain.
func (d *door) lead(servers ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.servers = servers
}

// shut closes all connections and refuses new ones until unlock.
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

// unlock accepts connections again.
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

// carry proxies one connection.
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

// relay copies until one side is closed, and closes the other.
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

// watch calls f for all data that clients send from now on.
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

// dial connects to the next server that does not refuse.
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

// keep records connections for shut. It returns false if the door is shut.
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
