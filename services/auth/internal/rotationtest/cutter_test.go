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

// A fate is what becomes of a command on its way to Redis.
type fate int

const (
	delivered   fate = iota
	commandLost      // the connection ends before Redis gets the command
	answerLost       // it ends when Redis has answered: the command is done
	lost             // it ends when Redis was handed the command, done or not
)

// A sent is a command that Redis was handed.
type sent struct {
	command string // name and, for a script, its hash
	at      int64
	done    int64 // when an answer was seen that then was lost; 0 if none was
}

// A cutter is a TCP proxy before Redis that ends connections at the worst
// moments; go-redis then sends the command again, as often as its MaxRetries
// says. It is for a client with one connection at a time.
type cutter struct {
	t     testing.TB
	redis string // a socket file
	tcp   net.Listener
	fates func(command string) fate // asked about each command that writes
	stamp func() int64
	mu    sync.Mutex
	log   []*sent
	open  sync.WaitGroup
}

// newCutter starts one; fates is called from the cutter's goroutines, one at a
// time. stamp tells the time.
func newCutter(t testing.TB, server *redistest.Server, fates func(string) fate, stamp func() int64) *cutter {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{t: t, redis: strings.TrimPrefix(server.URL(), "unix://"), tcp: tcp, fates: fates, stamp: stamp}
	c.open.Go(c.accept)
	t.Cleanup(func() {
		_ = tcp.Close()
		c.open.Wait()
	})
	return c
}

// client returns a client through the cutter. Closing it ends its connection,
// so the cleanup of the cutter, which comes later, does not wait for ever.
func (c *cutter) client(t testing.TB, opts goredis.Options) *goredis.Client {
	t.Helper()
	opts.Addr, opts.PoolSize, opts.MaxActiveConns = c.tcp.Addr().String(), 1, 1
	client := goredis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// drain returns what Redis was handed since the last call.
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
		c.open.Go(l.answers)
	}
}

// A link is one connection through the cutter.
type link struct {
	*cutter

	client, server net.Conn

	// doomed is what will lose its answer, set before it is handed on.
	doomed atomic.Pointer[sent]
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
		if !l.handOn(raw, command) {
			return
		}
	}
}

// handOn gives Redis a command, or not, and reports whether the connection goes on.
func (l *link) handOn(raw []byte, command string) bool {
	writes := strings.HasPrefix(command, "evalsha ") || command == "xadd"
	if !writes {
		_, err := l.server.Write(raw)
		return err == nil
	}
	l.mu.Lock()
	f := l.fates(command)
	if f == commandLost {
		l.mu.Unlock()
		return false
	}
	entry := &sent{command: command, at: l.stamp()}
	l.log = append(l.log, entry)
	l.mu.Unlock()
	if f == answerLost {
		l.doomed.Store(entry)
	}
	_, err := l.server.Write(raw)
	return err == nil && f != lost
}

func (l *link) answers() {
	defer func() { _, _ = l.client.Close(), l.server.Close() }()
	buf := make([]byte, 16<<10)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		// One command at a time is under way, so these are its answer's first bytes.
		if entry := l.doomed.Load(); entry != nil {
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

// readCommand reads one RESP array of bulk strings and returns its bytes and
// the command's name, in lower case, with the first argument of an EVALSHA.
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
