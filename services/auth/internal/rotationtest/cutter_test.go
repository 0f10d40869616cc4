package rotationtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/pkg/redistest"
)

// A delivery is how far a command and its response get.
type delivery int

const (
	delivered    delivery = iota
	commandLost           // the connection is cut before Redis receives the command
	responseLost          // it is cut after Redis has responded: the command was executed
	unknown               // it is cut after the command was sent, whether or not it was executed
)

// A sent is a command that was sent to Redis.
type sent struct {
	command string // name and, for a script, its hash
	at      int64
	done    int64 // when the response that was then lost arrived; 0 if there was none
}

// A cutter is a TCP proxy in front of Redis that cuts connections around a command. go-redis then
// resends the command, up to its MaxRetries. A cutter supports clients with one connection at a
// time.
type cutter struct {
	t     testing.TB
	redis string // a socket file
	tcp   net.Listener
	next  func(command string) delivery // called for each command that writes
	stamp func() int64
	mu    sync.Mutex
	log   []*sent
	open  sync.WaitGroup
}

// newCutter starts a cutter. next is called from the cutter's goroutines, one at a time. stamp
// returns the current time.
func newCutter(t testing.TB, server *redistest.Server, next func(string) delivery, stamp func() int64) *cutter {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{t: t, redis: strings.TrimPrefix(server.URL(), "unix://"), tcp: tcp, next: next, stamp: stamp}
	c.open.Go(c.accept)
	t.Cleanup(func() {
		_ = tcp.Close()
		c.open.Wait()
	})
	return c
}

// client returns a client that connects through the cutter. The client's cleanup runs first and
// closes its connection, so that the cutter's cleanup can finish.
func (c *cutter) client(t testing.TB, opts goredis.Options) *goredis.Client {
	t.Helper()
	opts.Addr, opts.PoolSize, opts.MaxActiveConns = c.tcp.Addr().String(), 1, 1
	client := goredis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// drain returns the commands that were sent to Redis since the last call.
func (c *cutter) drain() []sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := make([]sent, 0, len(c.log))
	for _, s := range c.log {
		log = append(log, *s)
	}
	c.log = nil
	return log
}

func (c *cutter) accept() {
	for {
		conn, err := c.tcp.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", c.redis)
		if err != nil {
			_ = conn.Close()
			continue
		}
		l := &link{cutter: c, client: conn, server: server}
		c.open.Go(l.commands)
		c.open.Go(l.responses)
	}
}

// A link is one connection through the cutter.
type link struct {
	*cutter

	client, server net.Conn

	// loseResponse is the command whose response is dropped. It is set before the command is sent.
	loseResponse atomic.Pointer[sent]
}

func (l *link) commands() {
	defer func() { _, _ = l.client.Close(), l.server.Close() }()
	r := bufio.NewReader(l.client)
	for {
		raw, command, err := readCommand(r)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.As(err, new(*net.OpError)) {
				l.t.Errorf("cutter: %v", err)
			}
			return
		}
		if !l.forward(raw, command) {
			return
		}
	}
}

// forward sends a command to Redis, unless next says otherwise, and reports whether the connection
// stays open.
func (l *link) forward(raw []byte, command string) bool {
	writes := strings.HasPrefix(command, "evalsha ") || command == "xadd"
	if !writes {
		_, err := l.server.Write(raw)
		return err == nil
	}
	l.mu.Lock()
	d := l.next(command)
	if d == commandLost {
		l.mu.Unlock()
		return false
	}
	entry := &sent{command: command, at: l.stamp()}
	l.log = append(l.log, entry)
	l.mu.Unlock()
	if d == responseLost {
		l.loseResponse.Store(entry)
	}
	_, err := l.server.Write(raw)
	return err == nil && d != unknown
}

func (l *link) responses() {
	defer func() { _, _ = l.client.Close(), l.server.Close() }()
	buf := make([]byte, 16<<10)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		// Only one command is in flight, so these are the first bytes of its response.
		if entry := l.loseResponse.Load(); entry != nil {
			l.mu.Lock()
			entry.done = l.stamp()
			l.mu.Unlock()
			return
		}
		if _, err := l.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// readCommand reads one RESP array of bulk strings. It returns its bytes and the command's name in
// lower case, for EVALSHA with the script's hash.
func readCommand(r *bufio.Reader) (raw []byte, command string, err error) {
	header, n, err := readCount(r, '*')
	if err != nil {
		return nil, "", err
	}
	raw = append(raw, header...)
	for i := range n {
		header, size, err := readCount(r, '$')
		if err != nil {
			return nil, "", err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, "", err
		}
		raw = append(append(raw, header...), word...)
		switch text := string(word[:size]); {
		case i == 0:
			command = strings.ToLower(text)
		case i == 1 && command == "evalsha":
			command += " " + text
		}
	}
	return raw, command, nil
}

func readCount(r *bufio.Reader, kind byte) (line []byte, n int, err error) {
	line, err = r.ReadBytes('\n')
	if err != nil {
		return nil, 0, err
	}
	if line[0] != kind {
		return nil, 0, fmt.Errorf("want %c, got %q", kind, line)
	}
	n, err = strconv.Atoi(strings.TrimSpace(string(line[1:])))
	return line, n, err
}
