package forward_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

// showing is an upstream that answers with the request head it got.
func showing(tb testing.TB) string {
	tb.Helper()
	return rawUpstream(tb, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			p.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(head), head))
		}
	})
}

// seen sends a request and returns the head that arrived at the upstream, without its first line and Host.
func seen(t *testing.T, p *proxy, request string) string {
	t.Helper()
	c := dial(t, p.addr)
	c.write(request)
	a := c.answer("GET")
	if a.StatusCode != 200 {
		t.Fatalf("answer is %d %q", a.StatusCode, a.body)
	}
	_, fields, _ := strings.Cut(a.body, "Host: app.example\r\n")
	return fields
}

var inject = forward.RequestEdit{Authorization: "Bearer ours", RequestID: "r1"}

// injected is what every request of these tests gets from the sidecar, and nothing else.
const injected = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example\r\n" +
	"X-Request-Id: r1\r\nAuthorization: Bearer ours\r\n"

func TestT24_IdentityFieldsOfClientsNeverArrive(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject, forward: forward.Config{DropFields: []string{"X-Our-Own"}}})
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", "Proxy-Connection", "Proxy", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto",
		"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Forwarded-Email",
		"X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Forwarded-Client-Cert", "X-Forwarded", "X-Forward-For", "X-Real-IP",
		"X-User", "X-User-Id", "X-User-Email", "X-Username", "X-UserID", "X-Auth-User", "X-Auth-Request-Email", "X-Auth-Token",
		"X-Authenticated-User", "X-Remote-User", "Remote-User", "Remote-Groups", "REMOTE-ADDR", "X-Remote-Addr", "X-Original-URL",
		"X-Original-Host", "X-Original-Method", "X-Originating-IP", "X-Rewrite-URL", "X-HTTP-Method", "X-HTTP-Method-Override",
		"X-Method-Override", "X-HTTP-Host-Override", "X-Host", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Client-IP",
		"X-Cluster-Client-IP", "Fastly-Client-IP", "X-Envoy-External-Address", "X-Envoy-Original-Path", "X-SSL-Client-CN",
		"SSL-Client-Cert", "X-Client-Cert", "X-Lilypad-User", "Lilypad-User", "X-Request-Id", "X-Email", "X-Roles", "X-Groups",
		"X-WebAuth-User", "X-Authentik-Username", "X-Pomerium-Claim-Email", "Tailscale-User-Login", "X-Goog-IAP-JWT-Assertion",
		"X-Amzn-Oidc-Identity", "X-MS-Client-Principal", "X-Consumer-Username", "X-Middleware-Subrequest", "X-Our-Own",
		"HTTP2-Settings", "Keep-Alive", "Upgrade", "TE", "Trailer",
	} {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := seen(t, p, get("/", spelling+": theirs", "Accept: */*")); got != "Accept: */*\r\n"+injected+"\r\n" {
				t.Errorf("with %s the upstream sees:\n%s", spelling, got)
			}
		}
	}
}

func TestT25_OtherSpellingsNeverArrive(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject})
	for _, name := range []string{
		"X_User", "x-USER", "X_Forwarded_User", "X-Forwarded_User", "X_FORWARDED_FOR", "Remote_User", "X.User", "X.Forwarded.For",
		"X~User", "X'Auth!Token", "X+Real+IP", "Any_Name", "_", "X_", "Content_Length", "Transfer_Encoding", "Content.Length", "Host_",
		"Transfer.Encoding", "Cookie_", "lilypad.user",
	} {
		if got := seen(t, p, get("/", name+": theirs")); got != injected+"\r\n" {
			t.Errorf("with %s the upstream sees:\n%s", name, got)
		}
	}
}

func TestOrdinaryFieldsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject})
	ordinary := "User-Agent: frog/1.0 (green)\r\naccept: text/html;q=0.9, */*\r\nX-Requested-With: fetch\r\nX-CSRF-Token: a\r\n" +
		"Sec-Fetch-Site: same-origin\r\nIf-None-Match: \"a\", W/\"b\"\r\nX-Odd:   inner  space \xe9\r\nX-Empty: \r\ntraceparent: 00-a-b-01\r\n" +
		"Cache-Control: max-age=0\r\nCache-Control: no-cache\r\nX-Xuser: y\r\nXuser: z\r\n"
	want := strings.Replace(ordinary, "  inner  space \xe9", "inner  space \xe9", 1)
	if got := seen(t, p, get("/", strings.TrimSuffix(ordinary, "\r\n"))); got != want+injected+"\r\n" {
		t.Errorf("the upstream sees:\n%s", got)
	}
}

func TestT26_ConnectionCannotDeleteWhatIsInjected(t *testing.T) {
	t.Parallel()
	edit := inject
	edit.Fields = []http1.Field{{Name: "X-Tenant", Value: "ours"}}
	p := newProxy(t, showing(t), setup{request: edit})
	got := seen(t, p, get("/", "Connection: close, Authorization, X-User-Id, X-Request-Id, X-Forwarded-For", "Connection: X-Tenant, host, X-Hop",
		"X-Hop: gone", "X-Kept: stays", "X-Tenant: theirs", "Authorization: Bearer theirs"))
	if want := "X-Kept: stays\r\n" + injected + "X-Tenant: ours\r\n\r\n"; got != want {
		t.Errorf("the upstream sees:\n%s", got)
	}
}

func TestT29_OurCookieStopsHere(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject})
	for sent, want := range map[string]string{
		"a=1; " + ourCookie + "=secret; b=2":                         "Cookie: a=1; b=2\r\n",
		ourCookie + "=secret":                                        "",
		ourCookie + "=secret; a=1":                                   "Cookie: a=1\r\n",
		"a=1; " + ourCookie + "=secret":                              "Cookie: a=1\r\n",
		"a=1;" + ourCookie + "=secret;" + ourCookie + "=other;b=2":   "Cookie: a=1;b=2\r\n",
		"a=1;  \t" + ourCookie + " = secret ; b=\"x y\"; ;c":         "Cookie: a=1; b=\"x y\"; ;c\r\n",
		"a=1; " + strings.ToUpper(ourCookie) + "=secret":             "Cookie: a=1\r\n",
		"a=1; " + ourCookie:                                          "Cookie: a=1\r\n",
		"a=\"1; " + ourCookie + "=secret\"":                          "Cookie: a=\"1\r\n",
		"x" + ourCookie + "=1; " + ourCookie + "x=2; a=" + ourCookie: "Cookie: x" + ourCookie + "=1; " + ourCookie + "x=2; a=" + ourCookie + "\r\n",
		";a=1;; b=2;": "Cookie: ;a=1;; b=2;\r\n",
	} {
		if got := seen(t, p, get("/", "Cookie: "+sent)); got != want+injected+"\r\n" {
			t.Errorf("with the cookies %q the upstream sees:\n%s", sent, got)
		}
	}
	two := seen(t, p, get("/", "Cookie: a=1", "cookie: "+ourCookie+"=secret", "COOKIE: b=2"))
	if two != "Cookie: a=1\r\nCOOKIE: b=2\r\n"+injected+"\r\n" {
		t.Errorf("of three fields the upstream sees:\n%s", two)
	}
}

func TestT34_OnlyTheConfiguredUpstreamIsDialled(t *testing.T) {
	t.Parallel()
	elsewhere := listen(t)
	reached := make(chan struct{}, 100)
	go func() {
		for {
			nc, err := elsewhere.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			_ = nc.Close()
		}
	}()
	other := elsewhere.Addr().String()
	p := newProxy(t, showing(t), setup{})
	for request, status := range map[string]int{
		"GET / HTTP/1.1\r\nHost: " + other + "\r\n\r\n":                                   200, // passed on as a name, dialled by nobody
		"GET http://" + other + "/ HTTP/1.1\r\nHost: " + other + "\r\n\r\n":               400,
		"GET http://x@" + other + "/ HTTP/1.1\r\nHost: a\r\n\r\n":                         400,
		"GET //" + other + "/ HTTP/1.1\r\nHost: a\r\n\r\n":                                400,
		"GET @" + other + "/ HTTP/1.1\r\nHost: a\r\n\r\n":                                 400,
		"CONNECT " + other + " HTTP/1.1\r\nHost: " + other + "\r\n\r\n":                   400,
		"GET / HTTP/1.1\r\nHost: a@" + other + "\r\n\r\n":                                 400,
		"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: " + other + "\r\n\r\n":            200,
		"GET /?url=http://" + other + " HTTP/1.1\r\nHost: a\r\nForwarded: host=b\r\n\r\n": 200,
	} {
		c := dial(t, p.addr)
		c.write(request)
		if a := c.answer("GET"); a.StatusCode != status {
			t.Errorf("%q is answered with %d", request, a.StatusCode)
		}
	}
	select {
	case <-reached:
		t.Error("another host was dialled")
	default:
	}
}

// The path that was decided on and the target that arrives are the same bytes.
func TestTargetsArriveUnchanged(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{})
	for _, target := range []string{"/", "/?", "/a%20b?c=%2F..%2f&d", "/fr%c3%b6sche/", "/a;b=c?x?y", "/100%25", "/a|b"} {
		c := dial(t, p.addr)
		c.write(get(target))
		if a := c.answer("GET"); !strings.HasPrefix(a.body, "GET "+target+" HTTP/1.1\r\n") {
			t.Errorf("%s arrives as %q", target, a.body)
		}
	}
}

func TestInjectedFieldsMustBeWellFormed(t *testing.T) {
	t.Parallel()
	reached := false
	upstream := rawUpstream(t, func(*peer) { reached = true })
	for name, edit := range map[string]forward.RequestEdit{
		"authorization": {Authorization: "Bearer a\r\nX-User: b"},
		"request id":    {RequestID: "a\nb"},
		"field name":    {Fields: []http1.Field{{Name: "a b", Value: "c"}}},
		"field value":   {Fields: []http1.Field{{Name: "a", Value: "b\x00"}}},
	} {
		p := newProxy(t, upstream, setup{request: edit})
		c := dial(t, p.addr)
		c.write(get("/"))
		if a := c.answer("GET"); a.StatusCode != 500 || reached {
			t.Errorf("%s: %d, reached the upstream: %v", name, a.StatusCode, reached)
		}
	}
}

func TestT37_ForwardedFieldsFollowOneRule(t *testing.T) {
	t.Parallel()
	trustLocal := forward.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}}
	forged := []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example"}
	for name, c := range map[string]struct {
		cfg   forward.Config
		lines []string
		want  [3]string
	}{
		"nobody is trusted":       {forward.Config{}, forged, [3]string{"127.0.0.1", "https", "app.example"}},
		"scheme by configuration": {forward.Config{Scheme: "http"}, nil, [3]string{"127.0.0.1", "http", "app.example"}},
		"others are trusted":      {forward.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, forged, [3]string{"127.0.0.1", "https", "app.example"}},
		"trusted":                 {trustLocal, forged, [3]string{"203.0.113.9", "http", "shop.example"}},
		"trusted, says nothing":   {trustLocal, nil, [3]string{"127.0.0.1", "https", "app.example"}},
		"trusted, two fields":     {trustLocal, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"trusted, with ports":     {trustLocal, []string{"X-Forwarded-For: 203.0.113.9:4711"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"trusted, IPv6":           {trustLocal, []string{"X-Forwarded-For: [2001:db8::1]:4711"}, [3]string{"2001:db8::1", "https", "app.example"}},
		"trusted, mapped":         {trustLocal, []string{"X-Forwarded-For: 6.6.6.6, ::ffff:203.0.113.9"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"trusted, garbage":        {trustLocal, []string{"X-Forwarded-For: 6.6.6.6, frog, 10.0.0.1"}, [3]string{"10.0.0.1", "https", "app.example"}},
		"trusted, proxies only":   {trustLocal, []string{"X-Forwarded-For: 10.0.0.2, 10.0.0.1"}, [3]string{"10.0.0.2", "https", "app.example"}},
		"trusted, odd scheme":     {trustLocal, []string{"X-Forwarded-Proto: javascript", "X-Forwarded-Host: a/b"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"trusted, WebSocket":      {trustLocal, []string{"X-Forwarded-Proto: ws"}, [3]string{"127.0.0.1", "http", "app.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, showing(t), setup{forward: c.cfg, request: forward.RequestEdit{RequestID: "r1"}})
			want := fmt.Sprintf("X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\nX-Forwarded-Host: %s\r\nX-Request-Id: r1\r\n\r\n", c.want[0], c.want[1], c.want[2])
			if got := seen(t, p, get("/", c.lines...)); got != want {
				t.Errorf("the upstream sees:\n%s", got)
			}
		})
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"http://127.0.0.1:8081": "127.0.0.1:8081", "http://frogs": "frogs:80", "http://frogs:8080/": "frogs:8080", "http://[::1]:80": "[::1]:80",
	} {
		if got, err := forward.ParseAddress(raw); got != want || err != nil {
			t.Errorf("%s = %q, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "frogs:8080", "https://frogs", "http://", "http://a@b", "http://a/b", "http://a?b", "http://a#b", "http://a b", "ftp://a", "http://a:b"} {
		if got, err := forward.ParseAddress(raw); err == nil {
			t.Errorf("%s = %q", raw, got)
		}
	}
}
