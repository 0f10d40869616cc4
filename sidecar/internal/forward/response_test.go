package forward_test

import (
	"fmt"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

func TestUpstreamsCannotTouchOurCookie(t *testing.T) {
	t.Parallel()
	ours := []string{
		ourCookie + "=x; Path=/; Secure", ourCookie + "=; Max-Age=0", " \t" + ourCookie + " =x", strings.ToUpper(ourCookie) + "=x",
		ourCookie, ourCookie + ";Path=/", "=" + ourCookie + "=x", " = " + ourCookie + "=x; Secure",
		"a=1, " + ourCookie + "=x", "__%48ost-Http-lilypad=x; Path=/", "\u2003" + ourCookie + "=x",
	}
	theirs := [...]string{"theme=dark; Path=/", "x" + ourCookie + "=1", "a=" + ourCookie + "=1"}
	head := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
	for i, value := range append(ours, theirs[:]...) {
		name := []string{"Set-Cookie", "set-cookie", "SET-COOKIE"}[i%3]
		head += name + ": " + value + "\r\n"
	}
	head += "Clear-Site-Data: \"cookies\"\r\nclear-site-data: \"*\"\r\nClear-Site-Data: \"cache\"\r\n" +
		"Authorization: Bearer leaked\r\nSet-Cookie2: a=b\r\n"
	p := newProxy(t, answering(t, head+"\r\nok"), setup{response: forward.ResponseEdit{
		SetCookie: []string{ourCookie + "=new; Path=/; Secure; HttpOnly", "second=1"},
	}})
	c := dial(t, p.addr)
	c.write(get("/"))
	a := c.expect("GET", 200, "ok")
	want := append(theirs[:], ourCookie+"=new; Path=/; Secure; HttpOnly", "second=1")
	if got := a.Header["Set-Cookie"]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("cookies set: %q", got)
	}
	if fmt.Sprint(a.Header["Clear-Site-Data"]) != `["cache"]` || a.Header["Authorization"] != nil || a.Header["Set-Cookie2"] != nil {
		t.Errorf("answer: %v", a.Header)
	}
}

func TestAnswersPassAsTheyAre(t *testing.T) {
	t.Parallel()
	head := "HTTP/1.1 404 Gone Fishing\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\ncontent-language:  de \r\n" +
		"Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nWWW-Authenticate: Bearer\r\nCache-Control: public\r\nContent-Length: 2\r\n" +
		"Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Own: theirs\r\n\r\n"
	p := newProxy(t, answering(t, head+"no"), setup{response: forward.ResponseEdit{
		CacheControl: "private, no-store", Fields: []http1.Field{{Name: "x-own", Value: "ours"}},
	}})
	c := dial(t, p.addr)
	c.write(get("/"))
	if got, want := c.head(), "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\ncontent-language: de\r\n"+
		"Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nWWW-Authenticate: Bearer\r\nCache-Control: private, no-store\r\nx-own: ours\r\n"+
		"Content-Length: 2\r\n\r\n"; got != want {
		t.Errorf("the client sees:\n%s", got)
	}
}

// What upstreams answer, what an HTTP/1.1 client gets, and whether the connection to the upstream
// is kept.
func TestAnswerFraming(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, answer string
		status         int
		body           string
		length         int64
		kept           int
	}{
		"length":                      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 1},
		"empty":                       {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", 0, 1},
		"chunked":                     {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n", 200, "hello", -1, 1},
		"status without reason":       {"GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 1},
		"close announced":             {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 0},
		"HTTP/1.0":                    {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 0},
		"HTTP/1.0 kept":               {"GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5, 1},
		"HEAD with length":            {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", 5, 1},
		"HEAD chunked":                {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", -1, 1},
		"HEAD with a body":            {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "", 5, 0},
		"204":                         {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 0, 1},
		"204 with length zero":        {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, "", 0, 1},
		"204 with a body":             {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", 0, 0},
		"304":                         {"GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n", 304, "", 0, 1},
		"more than announced":         {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n", 200, "hello", 5, 0},
		"a second answer":             {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 200, "a", 1, 0},
		"early hints":                 {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 200, "a", 1, 1},
		"length and chunked":          {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "", 0, 0},
		"two lengths":                 {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 502, "", 0, 0},
		"odd length":                  {"GET", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", 502, "", 0, 0},
		"odd coding":                  {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502, "", 0, 0},
		"chunked HTTP/1.0":            {"GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "", 0, 0},
		"bare line feeds":             {"GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 502, "", 0, 0},
		"folded field":                {"GET", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", 502, "", 0, 0},
		"control character":           {"GET", "HTTP/1.1 200 OK\r\nX: a\x00\r\nContent-Length: 5\r\n\r\nhello", 502, "", 0, 0},
		"space before the colon":      {"GET", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", 502, "", 0, 0},
		"no HTTP at all":              {"GET", "SSH-2.0-frog\r\n\r\n", 502, "", 0, 0},
		"another version":             {"GET", "HTTP/2.0 200 OK\r\n\r\n", 502, "", 0, 0},
		"status of two digits":        {"GET", "HTTP/1.1 20 OK\r\n\r\n", 502, "", 0, 0},
		"status beyond 599":           {"GET", "HTTP/1.1 999 OK\r\n\r\n", 502, "", 0, 0},
		"switch nobody asked for":     {"GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502, "", 0, 0},
		"header without end":          {"GET", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 502, "", 0, 0},
		"interim answers without end": {"GET", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20), 502, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, answering(t, c.answer), setup{})
			client := dial(t, p.addr)
			client.write(strings.Replace(get("/"), "GET", c.method, 1))
			a := client.answer(c.method)
			for a.StatusCode < 200 {
				a = client.answer(c.method)
			}
			if a.StatusCode != c.status || a.err != nil {
				t.Fatalf("answer is %d %q, %v", a.StatusCode, a.body, a.err)
			}
			o := p.outcomes.await(t, 1)
			if c.status == 502 {
				if o.facts.Reason != http1.ReasonUpstreamMalformed || o.err == nil {
					t.Errorf("outcome: %+v", o)
				}
			} else if a.body != c.body || a.ContentLength != c.length || o.err != nil || o.facts.Reason != "" {
				t.Errorf("answer is %q of %d, outcome %+v", a.body, a.ContentLength, o)
			}
			if got := p.up.Idle(); got != c.kept {
				t.Errorf("%d connections are kept", got)
			}
			// Whatever the upstream did, the client's connection is in order.
			client.write(strings.Replace(get("/"), "GET", c.method, 1))
			_ = client.answer(c.method)
		})
	}
}

// A body that ends with the connection becomes chunks for those who know them.
func TestAnswersUntilClose(t *testing.T) {
	t.Parallel()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\n\r\nhello")
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	c.write(get("/") + get("/"))
	for range 2 {
		if a := c.expect("GET", 200, "hello"); fmt.Sprint(a.TransferEncoding) != "[chunked]" || a.Close {
			t.Errorf("answer: %v %v", a.TransferEncoding, a.Header)
		}
	}
	c = dial(t, p.addr)
	c.write("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
	if a := c.expect("GET", 200, "hello"); a.TransferEncoding != nil || a.ContentLength != -1 {
		t.Errorf("answer: %v %v", a.TransferEncoding, a.Header)
	}
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	upstream := rawUpstream(t, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			if !strings.Contains(head, "Trailer: X-Sum\r\n") {
				t.Errorf("the upstream sees:\n%s", head)
			}
			body := p.head() // the chunks of this test contain no empty line before the end of the trailer
			if want := "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"; body != want {
				t.Errorf("the upstream sees the body %q", body)
			}
			p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n" +
				"Set-Cookie: " + ourCookie + "=x\r\nAuthorization: x\r\nConnection: x\r\n\r\n")
		}
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	for range 2 {
		c.write("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
			"3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-User: root\r\nAuthorization: Bearer x\r\nCookie: a=b\r\nX_Y: z\r\n\r\n")
		a := c.expect("POST", 200, "abc")
		if fmt.Sprint(a.Trailer) != "map[X-Sum:[6]]" {
			t.Errorf("trailer: %v", a.Trailer)
		}
	}
}

func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	p := newProxy(t, answering(t, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: "+ourCookie+"=x\r\nConnection: close\r\n\r\n"+
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), setup{})
	c := dial(t, p.addr)
	c.write(get("/"))
	if got := c.head(); got != "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" {
		t.Errorf("the client sees %q", got)
	}
	c.expect("GET", 200, "ok")
	c.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n") // which knows no interim answers
	c.expect("GET", 200, "ok")
}

func TestDiscardAndSendAgain(t *testing.T) {
	t.Parallel()
	upstream := rawUpstream(t, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			if strings.Contains(head, "Authorization: Bearer new\r\n") {
				p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
			} else {
				p.write("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n")
			}
		}
	})
	p := newProxy(t, upstream, setup{handler: func(p *proxy, x *http1.Exchange) error {
		res, err := p.up.Send(x, forward.RequestEdit{Authorization: "Bearer old"})
		if err != nil {
			return err
		}
		if res.Status() != 401 || res.Header().Get("transfer-encoding") != "chunked" {
			t.Errorf("first answer: %d %v", res.Status(), res.Header())
		}
		res.Discard()
		if res, err = p.up.Send(x, forward.RequestEdit{Authorization: "Bearer new"}); err != nil {
			_ = x.RespondProblem(500, "cannot be sent again")
			return err
		}
		return res.Relay(forward.ResponseEdit{})
	}})
	c := dial(t, p.addr)
	for i := range 2 {
		c.write(get("/"))
		c.expect("GET", 200, "hello")
		p.outcomes.await(t, i+1)
	}
	if got := p.up.Idle(); got != 1 {
		t.Errorf("%d connections are kept", got)
	}
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if a := c.answer("POST"); a.StatusCode != 500 || p.outcomes.await(t, 3).err == nil {
		t.Errorf("a request with a body was sent twice: %d", a.StatusCode)
	}
}
