package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

// memConn is a connection that can only be read.
type memConn struct {
	net.Conn
	io.Reader
}

func (c memConn) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c memConn) SetReadDeadline(time.Time) error  { return nil }
func (c memConn) SetWriteDeadline(time.Time) error { return nil }

var testLimits = Limits{HeadBytes: wideBuffer, TargetBytes: 8 << 10, Fields: 100}

// reading is the result of parsing some bytes.
type reading struct {
	method, target, path, host, body string
	rest                             int
}

func readOurs(raw []byte, source func([]byte) io.Reader) (reading, *Request, error) {
	r := NewReader(memConn{Reader: source(raw)}, &Buffers{})
	var q Request
	if err := readRequest(r, &q, testLimits); err != nil {
		return reading{}, nil, err
	}
	body, err := io.ReadAll(&q.Body)
	used := int(r.Total()) - r.Buffered()
	return reading{q.Method, q.Target, q.Path, q.Host, string(body), len(raw) - used}, &q, err
}

func wholeBytes(raw []byte) io.Reader  { return bytes.NewReader(raw) }
func singleBytes(raw []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(raw)) }

// FuzzRequest checks that packet boundaries do not matter, and that net/http accepts every request
// that we accept and parses it in the same way, including the start of the next request.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nrest"))
	f.Add([]byte("\r\nPOST /a%20b HTTP/1.1\r\nhost: a:80\r\ncontent-length: 5\r\n\r\nhelloGET"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nrest"))
	f.Add([]byte("OPTIONS * HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n"))
	f.Add([]byte("GET http://a:80/b?c HTTP/1.1\r\nHost: A\r\n\r\nrest"))
	f.Add([]byte("OPTIONS https://a HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ours, q, err := readOurs(raw, wholeBytes)
		again, _, errAgain := readOurs(raw, singleBytes)
		if ours != again || (err == nil) != (errAgain == nil) {
			t.Fatalf("%q parsed at once is %+v, %v; byte by byte %+v, %v; want the same", raw, ours, err, again, errAgain)
		}
		if err != nil || q.Header.Get("Trailer") != "" { // net/http checks it, we pass it on
			return
		}
		in := bytes.NewReader(bytes.TrimPrefix(raw, []byte("\r\n"))) // not skipped by ReadRequest
		br := bufio.NewReader(in)
		r, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("%q is accepted, want refused as by net/http: %v", raw, err)
		}
		body, err := io.ReadAll(r.Body)
		theirs := reading{r.Method, r.RequestURI, r.URL.Path, r.Host, string(body), br.Buffered() + in.Len()}
		if r.URL.Host != "" { // an absolute target, which we convert to the origin form
			_, theirs.target, _ = strings.Cut(r.RequestURI, r.URL.Host)
			switch {
			case theirs.target == "" && r.Method == "OPTIONS":
				theirs.target, theirs.path = "*", "*"
			case !strings.HasPrefix(theirs.target, "/"):
				theirs.target, theirs.path = "/"+theirs.target, "/"
			}
		}
		if err != nil || ours != theirs {
			t.Fatalf("%q parsed as %+v, want as net/http: %+v, %v", raw, ours, theirs, err)
		}
		for _, field := range q.Header {
			if kindOf(field.Name) != kindHost && kindOf(field.Name) != kindTransferEncoding &&
				!slices.Contains(r.Header.Values(field.Name), field.Value) {
				t.Fatalf("%q: field %q is missing in net/http, want the same fields", raw, field)
			}
		}
		if strings.ContainsAny(q.Path, "\\\x00\r\n") || strings.Contains(q.Path, "//") || !strings.HasPrefix(q.Path, "/") && q.Path != "*" {
			t.Fatalf("%q: ambiguous path %q accepted, want refused", raw, q.Path)
		}
	})
}

// FuzzPath checks that every path that we accept is decoded to the same path by the standard
// library, and that it is clean.
func FuzzPath(f *testing.F) {
	for _, raw := range []string{"/", "/a/b/", "/fr%C3%B6g", "/a;b", "/..;/a", "/%2e%2e/", "/%252e", "/a%2fb", "/a//b", "/.a/b."} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q := Request{Method: "GET", Target: raw}
		if q.readTarget(8<<10) != nil {
			return
		}
		decoded, err := url.PathUnescape(q.RawPath)
		if err != nil || decoded != q.Path {
			t.Fatalf("%q decoded to %q, want %q as net/url (%v)", raw, q.Path, decoded, err)
		}
		cleaned := path.Clean(q.Path)
		if strings.HasSuffix(q.Path, "/") && cleaned != "/" {
			cleaned += "/"
		}
		if cleaned != q.Path {
			t.Fatalf("%q: path %q, want it clean: %q", raw, q.Path, cleaned)
		}
		if again, err := url.PathUnescape(q.Path); err == nil && again != q.Path {
			t.Fatalf("%q: path %q can be decoded again to %q, want refused", raw, q.Path, again)
		}
		if strings.ContainsAny(q.Path, "\\\x00\r\n\x7f") || !utf8.ValidString(q.Path) {
			t.Fatalf("%q: ambiguous path %q accepted, want refused", raw, q.Path)
		}
	})
}

// FuzzChunked is FuzzRequest for chunked bodies.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("A;x=\"y\"\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("ffffffffffffffff\r\n"))
	f.Add([]byte("1\r\na\r\n1\nb\r\n0\r\n\r\n"))
	head := []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := append(bytes.Clone(head), body...)
		ours, q, err := readOurs(raw, wholeBytes)
		again, _, errAgain := readOurs(raw, singleBytes)
		if ours != again || (err == nil) != (errAgain == nil) {
			t.Fatalf("%q parsed at once is %+v, %v; byte by byte %+v, %v; want the same", body, ours, err, again, errAgain)
		}
		if err != nil {
			if q == nil || q.Body.Done() {
				t.Fatalf("%q: %v, but the body is done, want not done", body, err)
			}
			return
		}
		in := bytes.NewReader(raw)
		br := bufio.NewReader(in)
		r, err := http.ReadRequest(br)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r.Body)
		if err != nil || string(content) != ours.body || br.Buffered()+in.Len() != ours.rest {
			t.Fatalf("%q parsed as %+v, want as net/http: %q with %d left, %v", body, ours, content, br.Buffered()+in.Len(), err)
		}
	})
}

// FuzzResponse is FuzzRequest for responses of an upstream.
func FuzzResponse(f *testing.F) {
	f.Add("GET", []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add("HEAD", []byte("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n"))
	f.Add("GET", []byte("HTTP/1.0 404 \r\n\r\nuntil close"))
	f.Add("GET", []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Add("GET", []byte("HTTP/1.1 204 No Content\r\n\r\n"))
	f.Fuzz(func(t *testing.T, method string, raw []byte) {
		if !isToken(method) || method == "CONNECT" {
			return
		}
		r := NewReader(memConn{Reader: bytes.NewReader(raw)}, &Buffers{})
		var p Response
		if err := ReadResponse(r, &p, method, testLimits); err != nil {
			return
		}
		if p.Status < 200 || !p.Persistent() || p.Header.Get("Trailer") != "" {
			return // the parser does not decide where these end
		}
		body, err := io.ReadAll(&p.Body)
		if err != nil {
			return
		}
		in := bytes.NewReader(raw)
		br := bufio.NewReader(in)
		theirs, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q is accepted, want refused as by net/http: %v", raw, err)
		}
		content, err := io.ReadAll(theirs.Body)
		left, ourLeft := br.Buffered()+in.Len(), len(raw)-int(r.Total())+r.Buffered()
		if err != nil || theirs.StatusCode != p.Status || string(content) != string(body) || left != ourLeft {
			t.Fatalf("%q parsed as %d %q, want as net/http: %d %q, %v", raw, p.Status, body, theirs.StatusCode, content, err)
		}
	})
}

// net/http accepts these requests, and we refuse them.
func TestStricterThanNetHTTP(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw))); err != nil {
			t.Errorf("net/http: %q refused, want accepted: %v", raw, err)
		}
		_, _, err := readOurs([]byte(raw), wholeBytes)
		if _, ok := errors.AsType[*Fault](err); !ok {
			t.Errorf("%q: %v, want a fault", raw, err)
		}
	}
}
