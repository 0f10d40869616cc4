package http1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/http1"
)

// Accepted requests, and how they are parsed.
func TestRequestsAreParsed(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		q := &x.Request
		text(x, 200, strings.Join([]string{q.Method, q.Target, q.RawPath, q.Path, q.RawQuery, q.Host}, " "))
	}})
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	for name, c := range map[string][2]string{
		"root":                      {get("/"), "GET / / /  a"},
		"query":                     {get("/a/b?c=d&e=%2F"), "GET /a/b?c=d&e=%2F /a/b /a/b c=d&e=%2F a"},
		"empty query":               {get("/?"), "GET /? / /  a"},
		"second question mark":      {get("/a?b?c"), "GET /a?b?c /a /a b?c a"},
		"dots in the query":         {get("/a?../b//c"), "GET /a?../b//c /a /a ../b//c a"},
		"encoded letter":            {get("/%61"), "GET /%61 /%61 /a  a"},
		"encoded UTF-8":             {get("/fr%C3%B6sche"), "GET /fr%C3%B6sche /fr%C3%B6sche /frösche  a"},
		"encoded space":             {get("/a%20b"), "GET /a%20b /a%20b /a b  a"},
		"encoded percent":           {get("/100%25"), "GET /100%25 /100%25 /100%  a"},
		"encoded percent and text":  {get("/5%25off"), "GET /5%25off /5%25off /5%off  a"},
		"encoded question mark":     {get("/a%3Fb"), "GET /a%3Fb /a%3Fb /a?b  a"},
		"encoded number sign":       {get("/a%23b"), "GET /a%23b /a%23b /a#b  a"},
		"parameters":                {get("/a;b=c/d;e"), "GET /a;b=c/d;e /a;b=c/d;e /a;b=c/d;e  a"},
		"hidden file":               {get("/.well-known/x"), "GET /.well-known/x /.well-known/x /.well-known/x  a"},
		"three dots":                {get("/.../a.."), "GET /.../a.. /.../a.. /.../a..  a"},
		"trailing slash":            {get("/a/"), "GET /a/ /a/ /a/  a"},
		"odd but printable":         {get("/a|b^c{d}?\"<>`\\"), "GET /a|b^c{d}?\"<>`\\ /a|b^c{d} /a|b^c{d} \"<>`\\ a"},
		"asterisk":                  {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * * *  a"},
		"absolute":                  {get("http://a/b?c=d"), "GET /b?c=d /b /b c=d a"},
		"absolute, by https":        {get("HTTPS://A/b"), "GET /b /b /b  A"},
		"absolute, default port":    {get("http://a:80/b"), "GET /b /b /b  a:80"},
		"absolute, same port":       {"GET http://a:8080/ HTTP/1.1\r\nHost: a:8080\r\n\r\n", "GET / / /  a:8080"},
		"absolute, IPv6":            {"GET http://[::1]/a HTTP/1.0\r\nHost: [::1]\r\nConnection: keep-alive\r\n\r\n", "GET /a /a /a  [::1]"},
		"absolute without path":     {get("http://a"), "GET / / /  a"},
		"absolute, query only":      {get("http://a?b=/c"), "GET /?b=/c / / b=/c a"},
		"absolute, a URL within":    {get("http://a/?b=http://c/"), "GET /?b=http://c/ / / b=http://c/ a"},
		"absolute asterisk":         {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * * *  a"},
		"absolute, OPTIONS of root": {"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS / / /  a"},
		"a URL in the path":         {get("/http:/x?http://b/"), "GET /http:/x?http://b/ /http:/x /http:/x http://b/ a"},
		"unknown method":            {"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "PROPFIND / / /  a"},
		"one empty line first":      {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / / /  a"},
		"host with port":            {"GET / HTTP/1.1\r\nHost: Frogs.localhost:8080\r\n\r\n", "GET / / /  Frogs.localhost:8080"},
		"host is IPv4":              {"GET / HTTP/1.1\r\nhost:127.0.0.1:80\r\n\r\n", "GET / / /  127.0.0.1:80"},
		"host is IPv6":              {"GET / HTTP/1.1\r\nHOST: [::1]:80 \r\n\r\n", "GET / / /  [::1]:80"},
		"white space around values": {"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET / / /  a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := dial(t, addr)
			p.send(c[0])
			p.expect("GET", 200, c[1])
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	h := http1.Header{{"Accept", "a"}, {"X-Frog", "1"}, {"ACCEPT", "b, ,c"}}
	if got := h.Get("accept"); got != "a" {
		t.Errorf("Get = %q, want a", got)
	}
	if got := fmt.Sprint(slices.Collect(h.Values("Accept"))); got != "[a b, ,c]" {
		t.Errorf("Values = %s, want [a b, ,c]", got)
	}
	if got := fmt.Sprint(slices.Collect(h.Tokens("Accept"))); got != "[a b c]" {
		t.Errorf("Tokens = %s, want [a b c]", got)
	}
	if !h.HasToken("accept", "B") || h.HasToken("accept", "d") {
		t.Error("HasToken finds d or misses B")
	}
	h.Add("x-frog", "2")
	if got := fmt.Sprint(h); got != "[{Accept a} {X-Frog 1} {ACCEPT b, ,c} {x-frog 2}]" {
		t.Errorf("after Add: %s, want x-frog at the end", got)
	}
	for _, f := range []http1.Field{{"", "a"}, {"a b", "c"}, {"a:", "b"}, {"a", "b\r\nc: d"}, {"a", "\x00"}, {"a\n", "b"}} {
		if f.Valid() {
			t.Errorf("%q is valid, want invalid", f)
		}
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		trailer := x.Request.Header.Get("X-Want")
		echoed := ""
		for {
			piece, err := x.Request.Body.Next()
			if err != nil {
				break
			}
			echoed += string(piece)
		}
		text(x, 200, fmt.Sprintf("%d %s %s", x.Request.Body.Length(), echoed, x.Request.Body.Trailer().Get(trailer)))
	}})
	long := strings.Repeat("frog ", 20_000)
	for name, c := range map[string][2]string{
		"none":                  {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "0  "},
		"empty":                 {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "0  "},
		"length":                {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "5 hello "},
		"leading zeros":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello", "5 hello "},
		"longer than a buffer":  {fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(long), long), "100000 " + long + " "},
		"with GET":              {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "5 hello "},
		"chunked":               {chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "-1 hello! "},
		"chunked, other case":   {strings.Replace(chunked("A\r\n0123456789\r\n0\r\n\r\n"), "chunked", "CHUNKED", 1), "-1 0123456789 "},
		"chunked, zeros before": {chunked("0005\r\nhello\r\n000\r\n\r\n"), "-1 hello "},
		"chunked, extensions":   {chunked("5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n"), "-1 hello "},
		"chunked, a long chunk": {chunked(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(long), long)), "-1 " + long + " "},
		"trailer":               {strings.Replace(chunked("1\r\na\r\n0\r\nX-Sum: 42\r\n\r\n"), "Host: a", "Host: a\r\nX-Want: x-sum", 1), "-1 a 42"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := dial(t, addr)
			// The next request must start where this one ends.
			p.send(c[0] + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
			p.expect("POST", 200, c[1])
			p.expect("GET", 200, "0  ")
		})
	}
}
