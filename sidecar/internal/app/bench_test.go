package app_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/app"
)

// BenchmarkSignedIn measures one page of 1 kB for a signed-in user, with the session in memory,
// metrics, and the access log of every request. The upstream and the client are minimal, but their
// system calls count too.
func BenchmarkSignedIn(b *testing.B) { benchmarkSignedIn(b, policy) }

// BenchmarkSignedInWithHeaders is the same with a header map.
func BenchmarkSignedInWithHeaders(b *testing.B) {
	benchmarkSignedIn(b, `
upstreams: {app: {url: "%s", headers: {X-Forwarded-User: sub, X-Forwarded-Email: email, X-Forwarded-Groups: roles}}}
routes: [{prefix: /, upstream: app, policy: optional}]
`)
}

func benchmarkSignedIn(b *testing.B, policy string) {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer upstream.Close()
	go answerBare(upstream)
	w := newWorld(b, func(c *app.Config) {
		write(b, c.RoutesFile, fmt.Appendf(nil, policy, "http://"+upstream.Addr().String()))
	})
	request := "GET /frogs?page=2 HTTP/1.1\r\nHost: frogs.example\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n" +
		"Accept: application/json, text/plain, */*\r\nAccept-Language: en\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n" +
		"Cookie: theme=dark; " + w.login() + "\r\n\r\n"
	nc, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	in := make([]byte, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(nc, request); err != nil {
			b.Fatal(err)
		}
		for n := 0; ; {
			m, err := nc.Read(in[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
			if end := bytes.Index(in[:n], []byte("\r\n\r\n")); end >= 0 && n == end+4+1024 {
				break
			}
		}
	}
}

// answerBare responds with 1 kB to everything that ends in an empty line, on one connection.
func answerBare(ln net.Listener) {
	nc, err := ln.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n" +
		"Content-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	in := make([]byte, 16<<10)
	for n := 0; ; {
		m, err := nc.Read(in[n:])
		if err != nil {
			return
		}
		if n += m; bytes.HasSuffix(in[:n], []byte("\r\n\r\n")) {
			n = 0
			if _, err := nc.Write(answer); err != nil {
				return
			}
		}
	}
}
