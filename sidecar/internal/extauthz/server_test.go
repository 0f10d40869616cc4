package extauthz_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"lilypad.example/sidecar/internal/extauthz"
	x "lilypad.example/sidecar/internal/extauthz/extauthztest"
	"lilypad.example/sidecar/internal/http1"
)

// serve runs a server that lets GET /public pass, and returns its URL. Its refusals have the error
// as their body.
func serve(t testing.TB, change ...func(*extauthz.Config)) string {
	t.Helper()
	cfg := extauthz.Config{
		Limits:      extauthz.Limits{Fields: 20, Bytes: 4 << 10},
		IdleTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		Trusts:  func(peer netip.Addr) bool { return peer.IsLoopback() },
		Reserve: func(int) (func(), error) { return func() {}, nil },
		Check: func(_ context.Context, peer netip.Addr, c *extauthz.Check) extauthz.Answer {
			if c.Method == http.MethodGet && c.Target == "/public" && peer.IsLoopback() {
				return extauthz.Answer{Pass: true, Set: http1.Header{{Name: "Authorization", Value: "Bearer ü\xff"}}, SetCookies: []string{"a=1", "b=2"}}
			}
			return extauthz.Answer{Status: 401, Header: http1.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: []byte(c.Target), SetCookies: []string{"a=1", "b=2"}}
		},
		Refuse: func(_ context.Context, err error) extauthz.Answer {
			return extauthz.Answer{Status: 400, Body: []byte(err.Error())}
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	s := extauthz.New(cfg)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func public() []byte { return x.Request(x.Method("GET"), x.Target("/public"), x.Host("frogs.test")) }

func TestAnAnswerHasWhatEnvoyNeeds(t *testing.T) {
	url, c := serve(t), x.Client(t)
	message, status := x.Call(t, c, url+x.Path, bytes.NewReader(x.Frame(public())))
	if status != "0" {
		t.Fatalf("gRPC status %s, want 0", status)
	}
	a := x.Decode(t, message)
	if a.Status != 200 || a.Header.Get("Authorization") != "Bearer ü!" || strings.Join(a.Added["Set-Cookie"], " ") != "a=1 b=2" {
		t.Errorf("answer %+v, want a pass with Authorization in UTF-8 and both cookies", a)
	}
	message, _ = x.Call(t, c, url+x.Path, bytes.NewReader(x.Frame(x.Request(x.Method("GET"), x.Target("/x"), x.Host("frogs.test")))))
	a = x.Decode(t, message)
	if a.Code == 0 || a.Status != 401 || a.Body != "/x" || a.Header.Get("Content-Type") != "text/plain" || strings.Join(a.Added["Set-Cookie"], " ") != "a=1 b=2" {
		t.Errorf("answer %+v, want a denial with its header, both cookies and the body", a)
	}
}

// Each question is close to one that passes.
func TestAnUnclearQuestionIsRefused(t *testing.T) {
	url, c := serve(t), x.Client(t)
	m, p, h := x.Method("GET"), x.Target("/public"), x.Host("frogs.test")
	public := func(more ...[]byte) []byte { return x.Request(append([][]byte{m, p, h}, more...)...) }
	var group []byte
	group = protowire.AppendTag(group, 99, protowire.StartGroupType)
	group = append(group, x.Number(1, 1)...)
	group = protowire.AppendTag(group, 99, protowire.EndGroupType)
	for name, tc := range map[string]struct {
		message []byte
		status  int
	}{
		"the question":                {public(), 200},
		"unknown fields":              {x.Message(public(x.Text(77, "x"), x.Number(78, 1), group), x.Text(50, "y"), x.Number(51, 1)), 200},
		"a body":                      {public(x.Text(11, "body"), x.Text(12, "raw")), 200},
		"its own header":              {public(x.Header(":method", "GET"), x.Header(":path", "/public"), x.Header(":authority", "frogs.test")), 200},
		"its own header, raw":         {public(x.Raw(":method", "GET", ":path", "/public", "host", "frogs.test")), 200},
		"the same name twice, raw":    {public(x.Raw("a", "b", "a", "c")), 200},
		"bytes, raw":                  {public(x.Raw("a", "\xff")), 200},
		"twenty fields":               {public(repeat(20)...), 200},
		"nothing":                     {nil, 400},
		"no attributes":               {x.Text(2, "x"), 400},
		"no request":                  {x.Text(1, x.Text(1, "")), 400},
		"no HTTP request":             {x.Text(1, x.Text(4, "")), 400},
		"no method":                   {x.Request(p, h), 400},
		"no path":                     {x.Request(m, h), 400},
		"no host":                     {x.Request(m, p), 400},
		"an impossible host":          {x.Request(m, p, x.Host("frogs.test/x")), 400},
		"two methods":                 {public(m), 400},
		"two paths":                   {public(x.Target("/account")), 400},
		"two hosts":                   {public(x.Host("evil.test")), 400},
		"two questions":               {x.Message(public(), public()), 400},
		"two requests":                {x.Text(1, x.Message(x.Text(4, x.Text(2, x.Message(m, p, h))), x.Text(4, ""))), 400},
		"two HTTP requests":           {x.Text(1, x.Text(4, x.Message(x.Text(2, x.Message(m, p, h)), x.Text(2, x.Target("/account"))))), 400},
		"a query of its own":          {public(x.Text(7, "a=b")), 400},
		"a fragment of its own":       {public(x.Text(8, "a")), 400},
		"a path as a number":          {x.Request(m, x.Number(4, 1), h), 400},
		"a number, too":               {public(x.Number(4, 1)), 400},
		"another path in the header":  {public(x.Header(":path", "/account")), 400},
		"another path, raw":           {public(x.Raw(":path", "/account")), 400},
		"bytes in the path, raw":      {x.Request(m, x.Target("/pub!lic"), h, x.Raw(":path", "/pub\xfflic")), 400},
		"another method":              {public(x.Header(":method", "POST")), 400},
		"another host":                {public(x.Header("host", "evil.test")), 400},
		"another authority":           {public(x.Header(":authority", "evil.test")), 400},
		"an unknown pseudo-header":    {public(x.Header(":protocol", "websocket")), 400},
		"a name twice in the map":     {public(x.Header("a", "b"), x.Header("A", "c")), 400},
		"an empty one twice":          {public(x.Header("a", ""), x.Header("a", "")), 400},
		"both kinds of header":        {public(x.Header("a", "b"), x.Raw("c", "d")), 400},
		"two raw headers":             {public(x.Raw("a", "b"), x.Raw("c", "d")), 400},
		"text and raw":                {public(x.Text(13, x.Text(1, x.Message(x.Text(1, "a"), x.Text(2, "b"), x.Text(3, "c"))))), 400},
		"raw in the map":              {public(x.Text(3, x.Message(x.Text(1, "a"), x.Text(3, "c")))), 400},
		"two keys":                    {public(x.Text(3, x.Message(x.Text(1, "a"), x.Text(1, "b"), x.Text(2, "c")))), 400},
		"two values":                  {public(x.Text(3, x.Message(x.Text(1, "a"), x.Text(2, "b"), x.Text(2, "c")))), 400},
		"no name":                     {public(x.Header("", "b")), 400},
		"a name with a space":         {public(x.Header("a b", "c")), 400},
		"a value with a line":         {public(x.Header("a", "b\r\nc: d")), 400},
		"a value with a line, raw":    {public(x.Raw("a", "b\nc: d")), 400},
		"no UTF-8":                    {x.Request(m, x.Target("/public\xff"), h), 400},
		"no UTF-8 in a map":           {public(x.Header("a", "\xff")), 400},
		"twenty-one fields":           {public(repeat(21)...), 400},
		"twenty-one pseudo-headers":   {public(x.Raw(strings.Split(strings.Repeat(":path /public ", 21), " ")[:42]...)), 400},
		"a large header":              {public(x.Header("a", strings.Repeat("b", 5<<10))), 400},
		"cut off":                     {public()[:len(public())-1], 400},
		"more than there is":          {x.Text(1, []byte{4<<3 | 2, 0xff, 0xff, 0xff, 0x7f}), 400},
		"a length without end":        {[]byte{1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 400},
		"field zero":                  {x.Message(public(), []byte{2, 0}), 400},
		"a group without end":         {x.Message(public(), protowire.AppendTag(nil, 9, protowire.StartGroupType)), 400},
		"groups in groups":            {x.Message(public(), bytes.Repeat(protowire.AppendTag(nil, 9, protowire.StartGroupType), 100_000)), 400},
		"a message that is too large": {x.Message(public(), x.Text(90, strings.Repeat("x", 300<<10))), 400},
		"JSON":                        {[]byte(`{"attributes":{"request":{"http":{"method":"GET","path":"/public"}}}}`), 400},
	} {
		message, status := x.Call(t, c, url+x.Path, bytes.NewReader(x.Frame(tc.message)))
		if status != "0" {
			t.Errorf("%s: gRPC status %s, want 0: an error could be a pass", name, status)
			continue
		}
		if a := x.Decode(t, message); a.Status != tc.status || (a.Code == 0) != (tc.status == 200) {
			t.Errorf("%s: status %d, want %d: %s", name, a.Status, tc.status, a.Body)
		}
	}
}

// repeat returns n header fields with different names.
func repeat(n int) (fields [][]byte) {
	for i := range n {
		fields = append(fields, x.Header(string(rune('a'+i)), "x"))
	}
	return fields
}

// What surrounds the message is wrong. Envoy sends nothing of the kind.
func TestABrokenCallIsAnError(t *testing.T) {
	url, c := serve(t), x.Client(t)
	whole := x.Frame(public())
	flag := func(b byte) []byte { return append([]byte{b}, whole[1:]...) }
	for name, tc := range map[string]struct {
		path   string
		body   []byte
		header []string
		status string
	}{
		"no body":                    {x.Path, nil, nil, "13"},
		"half a prefix":              {x.Path, whole[:3], nil, "13"},
		"half a message":             {x.Path, whole[:len(whole)-1], nil, "13"},
		"a length of 4 GiB":          {x.Path, binary.BigEndian.AppendUint32([]byte{0}, 1<<32-1), nil, "0"}, // a refusal
		"compressed":                 {x.Path, flag(1), []string{"Grpc-Encoding", "gzip"}, "12"},
		"another flag":               {x.Path, flag(2), nil, "13"},
		"two messages":               {x.Path, append(append([]byte{}, whole...), whole...), nil, "13"},
		"a byte behind":              {x.Path, append(append([]byte{}, whole...), 0), nil, "13"},
		"another method":             {"/envoy.service.auth.v2.Authorization/Check", whole, nil, "12"},
		"another spelling":           {"/envoy.service.auth.v3.Authorization/check", whole, nil, "12"},
		"health":                     {"/grpc.health.v1.Health/Check", x.Frame(nil), nil, "12"},
		"the HTTP form's address":    {"/auth/verify/public", whole, nil, "12"},
		"JSON":                       {x.Path, whole, []string{"Content-Type", "application/json"}, "HTTP 415"},
		"gRPC with JSON":             {x.Path, whole, []string{"Content-Type", "application/grpc+json"}, "HTTP 415"},
		"gRPC-Web":                   {x.Path, whole, []string{"Content-Type", "application/grpc-web"}, "HTTP 415"},
		"no type":                    {x.Path, whole, []string{"Content-Type", ""}, "HTTP 415"},
		"the other name of the type": {x.Path, whole, []string{"Content-Type", "application/grpc+proto"}, "0"},
		"the question, all of it":    {x.Path, whole, nil, "0"},
		"a type with a parameter":    {x.Path, whole, []string{"Content-Type", "application/grpc;x=y"}, "0"},
	} {
		message, status := x.Call(t, c, url+tc.path, bytes.NewReader(tc.body), tc.header...)
		if status != tc.status {
			t.Errorf("%s: gRPC status %s, want %s", name, status, tc.status)
		}
		if len(message) > 0 && status != "0" {
			t.Errorf("%s: a message with status %s", name, status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+x.Path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d, want 405", res.StatusCode)
	}
}

// HTTP/1 and TLS get no answer that could be taken for one.
func TestOnlyHTTP2IsSpoken(t *testing.T) {
	url := serve(t)
	for _, text := range []string{
		"POST " + x.Path + " HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
		"POST " + x.Path + " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 32),
	} {
		nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(nc, text); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(nc) // a reset is as good
		if strings.Contains(string(answer), " 200 ") || strings.Contains(string(answer), " 101 ") {
			t.Errorf("%.20q was answered with %q", text, answer)
		}
		_ = nc.Close()
	}
}

func TestAFailureIsARefusal(t *testing.T) {
	for name, change := range map[string]func(*extauthz.Config){
		"no memory": func(c *extauthz.Config) {
			c.Reserve = func(int) (func(), error) { return nil, errors.New("no memory") }
		},
		"a panic": func(c *extauthz.Config) {
			c.Check = func(context.Context, netip.Addr, *extauthz.Check) extauthz.Answer { panic("x") }
		},
	} {
		message, status := x.Call(t, x.Client(t), serve(t, change)+x.Path, bytes.NewReader(x.Frame(public())))
		if a := x.Decode(t, message); status != "0" || a.Status != 400 || a.Code == 0 {
			t.Errorf("%s: gRPC status %s, %+v, want a refusal", name, status, a)
		}
	}
}

// Memory is taken before a message is read, and returned in each case.
func TestMemoryIsReturned(t *testing.T) {
	held, most := make(chan int, 100), 0
	url := serve(t, func(c *extauthz.Config) {
		c.Reserve = func(n int) (func(), error) {
			held <- n
			return func() { held <- -n }, nil
		}
	})
	for _, body := range [][]byte{x.Frame(public()), x.Frame(public())[:20], x.Frame([]byte("x"))} {
		x.Call(t, x.Client(t), url+x.Path, bytes.NewReader(body))
	}
	sum := 0
	for len(held) > 0 {
		sum += <-held
		most = max(most, sum)
	}
	if sum != 0 || most == 0 {
		t.Errorf("%d bytes were not returned, of at most %d", sum, most)
	}
}

// A call ends when its caller goes.
func TestACallerThatGoesIsNotWaitedFor(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	url := serve(t, func(c *extauthz.Config) {
		c.Check = func(ctx context.Context, _ netip.Addr, _ *extauthz.Check) extauthz.Answer {
			close(began)
			<-ctx.Done()
			close(gone)
			return extauthz.Answer{Status: 499}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+x.Path, bytes.NewReader(x.Frame(public())))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	go func() {
		<-began
		cancel()
	}()
	if res, err := x.Client(t).Do(r); err == nil {
		_ = res.Body.Close()
	}
	<-gone
}

func TestParallelCallsOnOneConnection(t *testing.T) {
	url, c := serve(t), x.Client(t)
	done := make(chan string)
	for range 50 {
		go func() {
			message, status := x.Call(t, c, url+x.Path, bytes.NewReader(x.Frame(public())))
			done <- status + " " + http.StatusText(x.Decode(t, message).Status)
		}()
	}
	for range 50 {
		if got := <-done; got != "0 OK" {
			t.Errorf("answer %q, want 0 OK", got)
		}
	}
}
