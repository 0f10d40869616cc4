package forward_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

// browserRequest is a page request of a browser, with our cookie among others.
const browserRequest = "GET /frogs?page=2 HTTP/1.1\r\n" +
	"Host: frogs.localhost:8080\r\n" +
	"Connection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"156\", \"Not_A Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\n" +
	"Sec-Fetch-Dest: document\r\n" +
	"Referer: http://frogs.localhost:8080/\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: theme=dark; __Host-Http-lilypad=v1.k1.3q2-7wAAAAAAAAAAAAAAAA.12.mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm; lang=en\r\n" +
	"\r\n"

// BenchmarkForward measures one signed-in page of 1 kB through the data path, with keep-alive on
// both sides, over real sockets. The upstream and the client are minimal, but their system calls
// are included.
func BenchmarkForward(b *testing.B) {
	upstream := listen(b)
	go func() {
		for {
			nc, err := upstream.Accept()
			if err != nil {
				return
			}
			go answerBare(nc)
		}
	}()
	f := forward.New(forward.Config{CookieNames: []string{ourCookie}})
	up := f.Upstream(forward.UpstreamConfig{Endpoints: []forward.Endpoint{{Network: "tcp", Address: upstream.Addr().String()}}})
	edit := forward.RequestEdit{Authorization: "Bearer " + strings.Repeat("a", 500)}
	addr := serve(b, http1.Config{Handler: func(x *http1.Exchange) {
		res, err := up.Send(x, edit)
		if err != nil {
			b.Error(err)
			return
		}
		if err := res.Relay(forward.ResponseEdit{CacheControl: "private, no-store"}); err != nil {
			b.Error(err)
		}
	}})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	request := []byte(browserRequest)
	in := make([]byte, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(request); err != nil {
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

// answerBare answers each empty line with 1 kB.
func answerBare(nc net.Conn) {
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
