package http1_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lilypad.example/sidecar/internal/http1"
)

// pair returns both ends of a connection.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	one, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, nc := range []net.Conn{one, other} {
		t.Cleanup(func() { _ = nc.Close() })
		if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return one.(*net.TCPConn), other.(*net.TCPConn)
}

// awaitArrival waits until bytes, or the end of them, can be read.
func awaitArrival(t *testing.T, nc *net.TCPConn) {
	t.Helper()
	raw, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 60_000); n != 1 {
			t.Errorf("nothing arrives: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, nc net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Error(err)
	}
}

// What arrives after the look ends the wait, however early: here before send returns.
func TestAskReceivesAnImmediateAnswer(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	r := http1.NewReader(near, http1.NewBuffers(nil))
	for range 3 {
		err := r.Ask(func() error {
			write(t, far, "answer")
			awaitArrival(t, near)
			return nil
		})
		if err != nil || r.Buffered() == 0 {
			t.Fatalf("%v, %d bytes are read, want an answer", err, r.Buffered())
		}
		r.Release()
	}
}

func TestAskReceivesALateAnswer(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	r := http1.NewReader(near, http1.NewBuffers(nil))
	go func() {
		_, _ = far.Read(make([]byte, 1))
		_, _ = io.WriteString(far, "answer")
	}()
	err := r.Ask(func() error { write(t, near, "?"); return nil })
	if err != nil || r.Buffered() == 0 {
		t.Errorf("%v, %d bytes are read, want an answer", err, r.Buffered())
	}
}

func TestAskSendsNothingOnAConnectionThatIsNotQuiet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*testing.T, *net.TCPConn)
		want error
	}{
		"unsolicited bytes": {func(t *testing.T, far *net.TCPConn) { write(t, far, "HTTP/1.1 200 OK\r\n\r\n") }, http1.ErrUnsolicited},
		"closed":            {func(_ *testing.T, far *net.TCPConn) { _ = far.Close() }, io.EOF},
		"half closed":       {func(_ *testing.T, far *net.TCPConn) { _ = far.CloseWrite() }, io.EOF},
		"reset": {func(_ *testing.T, far *net.TCPConn) {
			_ = far.SetLinger(0)
			_ = far.Close()
		}, unix.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := pair(t)
			r := http1.NewReader(near, http1.NewBuffers(nil))
			c.end(t, far)
			awaitArrival(t, near)
			sent := false
			if err := r.Ask(func() error { sent = true; return nil }); !errors.Is(err, c.want) || sent {
				t.Errorf("%v, sent: %t; want %v and nothing sent", err, sent, c.want)
			}
		})
	}
}

func TestAskReturnsTheErrorOfSend(t *testing.T) {
	t.Parallel()
	near, _ := pair(t)
	broken := errors.New("broken")
	r := http1.NewReader(near, http1.NewBuffers(nil))
	if err := r.Ask(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
