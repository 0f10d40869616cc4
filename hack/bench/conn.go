package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// conn is a keep-alive connection of the load generator. The client of net/http passes every
// request between goroutines and would use as much CPU time as the servers under test.
type conn struct {
	address string
	net     net.Conn
	in      *bufio.Reader
	body    bytes.Buffer
}

func dial(ctx context.Context, address string) (*conn, error) {
	c := &conn{address: address}
	err := c.connect(ctx)
	return c, err
}

func (c *conn) connect(ctx context.Context) (err error) {
	if c.net, err = new(net.Dialer).DialContext(ctx, "tcp", c.address); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.net, 16<<10)
	return nil
}

func (c *conn) close() { _ = c.net.Close() }

// reply is a complete response. Its body is valid until the next request.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// want returns an error unless the reply has the status.
func (r reply) want(status int, what string) error {
	if r.status == status {
		return nil
	}
	return fmt.Errorf("%s answers %d, want %d: %s", what, r.status, status, r.body)
}

// do sends a request and reads the response.
func (c *conn) do(ctx context.Context, request []byte) (reply, error) {
	_ = c.net.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := c.net.Write(request); err != nil {
		return reply{}, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	c.body.Reset()
	if _, err := io.Copy(&c.body, resp.Body); err != nil {
		return reply{}, err
	}
	if resp.Close {
		c.close()
		err = c.connect(ctx)
	}
	return reply{resp.StatusCode, resp.Header, c.body.Bytes()}, err
}

// request returns the bytes of a request, with header lines as on the wire.
func request(method, target string, body []byte, header ...string) []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench.example\r\n", method, target)
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	if body != nil {
		_, _ = fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// once sends a request on a new connection and checks the status.
func once(ctx context.Context, address string, req []byte, want int) (reply, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return reply{}, err
	}
	defer c.close()
	said, err := c.do(ctx, req)
	if err != nil {
		return reply{}, err
	}
	line, _, _ := strings.Cut(string(req), "\r\n")
	return said, said.want(want, line+" at "+address)
}
