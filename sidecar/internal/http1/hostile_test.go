package http1_test

import (
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/http1"
)

const canary = "GET /canary HTTP/1.1\r\nHost: a\r\n\r\n"

// hostile are requests that two parsers could interpret differently. A status of 0 stands for 400.
// The connection is closed and nothing after them is interpreted.
var hostile = []struct {
	name   string
	raw    string
	status int
}{
	// Lengths.
	{"content-length and chunked", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	{"chunked and content-length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 0},
	{"chunked and content-length zero", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 0},
	{"two different content-lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n", 0},
	{"two equal content-lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 0},
	{"content-length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n", 0},
	{"content-length with plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 0},
	{"content-length with minus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 0},
	{"content-length hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 0},
	{"content-length with underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n", 0},
	{"content-length with inner space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n", 0},
	{"content-length with trailing junk", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5a\r\n\r\nhello", 0},
	{"content-length empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 0},
	{"content-length fraction", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello", 0},
	{"content-length overflow", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 0},
	{"content-length of arabic digits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u0661\r\n\r\n", 0},
	{"content-length with vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \v5\r\n\r\nhello", 0},
	{"coding other than chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 0},
	{"coding identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 0},
	{"coding before chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0},
	{"coding after chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 0},
	{"chunked twice in a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0},
	{"chunked in two fields", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	{"chunked hidden by a second coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 0},
	{"chunked in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 0},
	{"chunked with parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 0},
	{"chunked with a leading comma", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 0},
	{"xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0},
	{"chunked spelled with a Kelvin sign", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n", 0},
	{"chunked behind a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n", 0},
	{"coding empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 0},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},

	// Line endings and white space.
	{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 0},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 0},
	{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 0},
	{"bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n", 0},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\n", 0},
	{"bare CR in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\rY: z\r\n\r\n", 0},
	{"CR before CRLF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 0},
	{"CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 0},
	{"folded content-length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello", 0},
	{"folded with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 0},
	{"field before the first one folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 0},
	{"tab before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 0},
	{"space in a name", "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 0},
	{"line without colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 0},
	{"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 0},
	{"name in brackets", "GET / HTTP/1.1\r\nHost: a\r\n[X]: y\r\n\r\n", 0},
	{"name with a slash", "GET / HTTP/1.1\r\nHost: a\r\nX/Y: z\r\n\r\n", 0},
	{"name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\u00e9: y\r\n\r\n", 0},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n", 0},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n", 0},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\x7f\r\n\r\n", 0},
	{"escape in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n", 0},
	{"form feed in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\fz\r\n\r\n", 0},
	{"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"CR without LF first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"tab first", "\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},

	// The request line.
	{"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0},
	{"no version", "GET /\r\nHost: a\r\n\r\n", 0},
	{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 0},
	{"version with a leading zero", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 0},
	{"version with junk", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 0},
	{"version of another protocol", "GET / ICAP/1.0\r\nHost: a\r\n\r\n", 0},
	{"version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
	{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0},
	{"method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"method with a NUL", "GE\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"method TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501},

	// The target.
	{"absolute target without Host", "GET http://a/ HTTP/1.1\r\n\r\n", 0},
	{"absolute target without Host in HTTP/1.0", "GET http://a/ HTTP/1.0\r\n\r\n", 0},
	{"absolute target with two hosts", "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0},
	{"absolute target with an invalid Host", "GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
	{"absolute target of another port", "GET http://a:8080/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target of the other default port", "GET http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target of a longer host", "GET http://a.evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target with a backslash", "GET http://evil.example\\@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target without host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target with one slash", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target of a socket", "GET ws://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target with a fragment", "GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target with dots", "GET http://a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target with two slashes", "GET http://a//b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target of CONNECT", "CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"absolute target of another host", "GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"target with user information", "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"authority target", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 0},
	{"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"target without slash", "GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"target @evil", "GET @evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"query without path", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"target beyond ASCII", "GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"NUL in the target", "GET /a\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"DEL in the target", "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"network path", "GET //evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},

	// Host.
	{"no host", "GET / HTTP/1.1\r\n\r\n", 0},
	{"no host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 0},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0},
	{"two equal hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 0},
	{"host with user information", "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 0},
	{"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
	{"host with query", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 0},
	{"host with fragment", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 0},
	{"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0},
	{"host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0},
	{"host beyond ASCII", "GET / HTTP/1.1\r\nHost: \u00e9\r\n\r\n", 0},
	{"host with percent", "GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", 0},
	{"host with backslash", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 0},
	{"host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 0},
	{"host with a word for a port", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 0},
	{"host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 0},
	{"host that is only a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 0},
	{"host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0},
	{"host with a bracketed name", "GET / HTTP/1.1\r\nHost: [a]\r\n\r\n", 0},
	{"host with a zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", 0},

	// Fields that may occur only once.
	{"two authorizations", "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n", 0},
	{"two content types", "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n", 0},
	{"two origins", "POST / HTTP/1.1\r\nHost: a\r\nOrigin: null\r\nOrigin: http://a\r\nContent-Length: 0\r\n\r\n", 0},
	{"two fetch sites", "POST / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n\r\n", 0},
	{"two upgrades", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n\r\n", 0},
	{"two expectations", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 0},
	{"unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx", 417},

	// Sizes.
	{"target too long", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	{"request line without end", strings.Repeat("a", 40<<10), 414},
	{"header too large", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 431},
	{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 200) + "\r\n", 431},

	// Chunks.
	{"chunk size with plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with minus", chunked("-5\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with prefix", chunked("0x5\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with underscore", chunked("1_0\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size empty", chunked("\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size of an extension only", chunked(";a\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size overflows", chunked("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size overflows to 5", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size is negative as int64", chunked("ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with a leading space", chunked(" 5\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with a trailing space", chunked("5 \r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with a bare LF", chunked("5\nhello\r\n0\r\n\r\n"), 0},
	{"chunk size with a bare CR", chunked("5\rhello\r\n0\r\n\r\n"), 0},
	{"chunk extension with a bare LF", chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk extension with a bare CR", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk extension with a NUL", chunked("5;a\x00\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk extension too long", chunked("5;" + strings.Repeat("a", 300) + "\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk longer than its size", chunked("5\r\nhello!\r\n0\r\n\r\n"), 0},
	{"chunk shorter than its size", chunked("6\r\nhello\r\n0\r\n\r\n"), 0},
	{"chunk without CRLF behind it", chunked("5\r\nhello0\r\n\r\n"), 0},
	{"chunk with LF behind it", chunked("5\r\nhello\n0\r\n\r\n"), 0},
	{"last chunk with a bare LF", chunked("5\r\nhello\r\n0\n\r\n"), 0},
	{"body ends with a bare LF", chunked("5\r\nhello\r\n0\r\n\n"), 0},
	{"trailer with a space before the colon", chunked("0\r\nX : y\r\n\r\n"), 0},
	{"trailer folded", chunked("0\r\nX: y\r\n z\r\n\r\n"), 0},
	{"trailer with a bare LF", chunked("0\r\nX: y\n\r\n"), 0},
	{"trailer with a control character", chunked("0\r\nX: \x01\r\n\r\n"), 0},
	{"trailer with a content-length", chunked("0\r\nContent-Length: 5\r\n\r\n"), 0},
	{"trailer with a transfer-encoding", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 0},
	{"trailer with a host", chunked("0\r\nHost: b\r\n\r\n"), 0},
	{"trailer too large", chunked("0\r\nX: " + strings.Repeat("a", 8000) + "\r\n\r\n"), 0},
	{"trailer with too many fields", chunked("0\r\n" + strings.Repeat("X: y\r\n", 200) + "\r\n"), 0},
}

func chunked(body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

// hostilePaths are targets with an ambiguous path.
var hostilePaths = []string{
	"/%", "/%4", "/%zz", "/%u0041", "/a%2", "/%%34%31",
	"/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", `/a\b`, `/\evil.example`,
	"/a%00b", "/a%0ab", "/a%0d%0aX:y", "/a%1f", "/a%7f", "/a%09b",
	"/.", "/..", "/./a", "/../a", "/a/..", "/a/.", "/a/../b", "/a/./b", "/..?x",
	"/%2e", "/%2e%2e", "/%2e./a", "/.%2E/a", "/a/%2e%2e/b", "/a/%2E",
	"/..;/a", "/a/..;x=y/b", "/.;/a", "/a/%2e%2e%3bx/b", "/..%3b/a",
	"//", "//a", "/a//b", "/a//", "/%2f", "/%2f%2fevil.example",
	"/%252e%252e/a", "/%2541", "/a%252fb", "/%25%32%65", "/a%2500", "/%25%41%42",
	"/%c0%ae%c0%ae/a", "/%c0%af", "/%ff", "/%e0%80%af", "/%ed%a0%80", "/%c3",
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	t.Parallel()
	paths := newJournal[string]()
	refusals := newJournal[http1.Refusal]()
	_, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			paths.add(x.Request.Path)
			echo(x)
		},
		Refused: refusals.add,
	})
	cases := hostile
	for _, path := range hostilePaths {
		cases = append(cases, struct {
			name, raw string
			status    int
		}{"path " + path, "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", 0})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.status == 0 {
				c.status = 400
			}
			p := dial(t, addr)
			p.send(c.raw + canary)
			a := p.answer("GET")
			if a.StatusCode != c.status {
				t.Errorf("answer is %d %q, want %d", a.StatusCode, a.body, c.status)
			}
			if !a.Close {
				t.Error("the connection stays open, want Connection: close")
			}
			if a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("header %v, want application/problem+json", a.Header)
			}
			p.ended()
		})
	}
	t.Cleanup(func() { // after all of them
		for _, path := range paths.all() {
			if strings.Contains(path, "canary") {
				t.Error("the request after a refused one was served, want it ignored")
			}
		}
		// Heads are refused before there is an exchange, malformed chunks by the handler.
		if got := len(refusals.all()) + len(paths.all()); got != len(cases) {
			t.Errorf("%d refusals and exchanges, want %d", got, len(cases))
		}
	})
}

// The same requests byte by byte: packet boundaries must not matter.
func TestPacketBoundariesDoNotMatter(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		if strings.Contains(x.Request.Path, "canary") {
			t.Error("the request after a refused one was served, want it ignored")
		}
		echo(x)
	}})
	for _, c := range hostile {
		if len(c.raw) > 200 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.status == 0 {
				c.status = 400
			}
			p := dial(t, addr)
			go func() {
				for i := range len(c.raw) {
					if _, err := p.nc.Write([]byte{c.raw[i]}); err != nil {
						return // refused before it was complete
					}
				}
				_, _ = p.nc.Write([]byte(canary))
			}()
			if a := p.answer("GET"); a.StatusCode != c.status {
				t.Errorf("answer is %d %q, want %d", a.StatusCode, a.body, c.status)
			}
		})
	}
}
