package forward_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

// showing is an upstream that answers with the request head that it received.
func showing(tb testing.TB) string {
	tb.Helper()
	return rawUpstream(tb, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			p.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(head), head))
		}
	})
}

// seen sends a request and returns the head that the upstream received, without the request line
// and Host.
func seen(t *testing.T, p *proxy, request string) string {
	t.Helper()
	c := dial(t, p.addr)
	c.write(request)
	a := c.answer("GET")
	if a.StatusCode != 200 {
		t.Fatalf("answer is %d %q, want 200", a.StatusCode, a.body)
	}
	_, fields, _ := strings.Cut(a.body, "Host: app.example\r\n")
	return fields
}

var inject = forward.RequestEdit{Authorization: "Bearer ours", RequestID: "r1"}

// injected is what the sidecar adds to every request of these tests.
const injected = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example\r\nX-Forwarded-Port: 443\r\n" +
	"X-Request-Id: r1\r\nAuthorization: Bearer ours\r\n"

// identities are fields from which apps learn who the client is, where it is or what it requested,
// by who sets them.
var identities = map[string][]string{
	"the connection": {"HTTP2-Settings", "Keep-Alive", "Upgrade", "TE", "Trailer", "Proxy-Connection", "Cookie2"},
	"the sidecar":    {"Authorization", "X-Lilypad-User", "Lilypad-User", "X-Request-Id", "X-Our-Own", "Acme-Tenant", "ACME-"},
	"any proxy": {
		"Proxy-Authorization", "Proxy", "Forwarded", "Forwarded-For", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
		"X-Forwarded-Prefix", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Forwarded-Client-Cert",
		"X-Forwarded-Tls-Client-Cert", "X-Forwarded-Preferred-Username", "X-Forwarded-Uri", "X-Forwarded", "X-Forward-For", "X-Real-IP", "X-RealIP",
		"Remote-Addr", "X-Remote-Addr", "X-Originating-IP", "X-Original-Forwarded-For", "Client-IP", "X-Client-IP", "X-ClientIP", "X-True-Client-IP",
		"X-Cluster-Client-IP", "X-ProxyUser-IP", "X-Source-IP", "X-Custom-IP-Authorization", "X-Scheme", "X-Url-Scheme", "Front-End-Https", "X-Https",
	},
	"rewriting": {
		"X-Original-URL", "X-Original-Host", "X-Original-Method", "X-Original-Uri", "X-Rewrite-URL", "X-HTTP-Method", "X-HTTP-Method-Override",
		"X-Method-Override", "X-HTTP-Host-Override", "X-HTTP-DestinationURL", "X-Host", "X-Host-Override", "X-Override-URL", "X-Replaced-Path",
		"X-Script-Name", "Script-Name", "Path-Info", "Base-Url", "Request-Uri", "X-Ingress-Path", "X-Sendfile-Type", "X-Accel-Mapping",
	},
	"TLS": {
		"Client-Cert", "Client-Cert-Chain", "SSL-Client-Cert", "SSL-Client-Verify", "SSL-Client-S-DN", "X-SSL-Client-CN", "X-SSL-Client-Verify",
		"X-Client-Cert", "X-Client-Certificate", "X-Client-DN", "X-Client-Verify", "X-ARR-ClientCert", "X-ARR-SSL", "X-TLS-Client-Cert", "SSLClientCertSN",
	},
	"common names": {
		"User", "UserID", "User-Id", "Username", "User-Name", "User-Email", "User-Roles", "X-User", "X-User-Id", "X-User-Email", "X-Username", "X-UserID",
		"X-UserInfo", "X-Email", "X-Role", "X-Roles", "X-Group", "X-Groups", "X-Sub", "X-Subject", "X-UID", "X-Identity", "X-Identity-Status", "X-Principal",
		"X-Claims", "X-Login", "X-Is-Admin", "X-Admin", "X-Auth-User", "X-Auth-Token", "X-Authenticated-User", "X-Authenticated-UserId", "X-Remote-User",
		"X-Remote-Group", "X-Remote-Extra-Scopes", "Remote-User", "Remote-Groups", "Remote-Email", "Auth-Type", "X-WebAuth-User", "X-SSO-User",
	},
	"impersonation": {
		"Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scopes", "X-Impersonate-User", "Sudo", "X-Sudo", "Run-As",
		"On-Behalf-Of", "X-On-Behalf-Of", "X-Switch-User", "ES-Security-RunAs-User", "X-Trino-User",
	},
	"tokens": {"X-JWT-Assertion", "X-Access-Token", "X-ID-Token", "X-Endpoint-API-UserInfo", "X-Apigateway-Api-Userinfo", "X-OIDC-Claims"},
	"access managers": {
		"SM-User", "SM-UniversalID", "SM-ServerSessionID", "SM-AuthDirName", "SMUser", "Iv-User", "Iv-User-L", "Iv-Groups", "Iv-Creds", "Iv-Remote-Address",
		"AM-EAI-User-Id", "OAM-Remote-User", "OAM-Identity-Domain", "Osso-User-Dn", "CT-Remote-User",
	},
	"Apache modules": {
		"Shib-Session-ID", "Shib-Identity-Provider", "Shib-Authentication-Instant", "Shib-Handler", "EPPN", "Affiliation", "Unscoped-Affiliation",
		"Entitlement", "Persistent-Id", "Pairwise-Id", "Targeted-Id", "EduPersonPrincipalName", "Mail", "UID", "GivenName", "IsMemberOf",
		"Mellon-NameID", "OIDC-Claim-Sub", "OIDC-Access-Token", "CAS-User",
	},
	"authenticating proxies": {
		"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "GAP-Auth", "GAP-Signature", "X-Vouch-User", "X-Vouch-IdP-Claims-Groups",
		"X-Vouch-IdP-AccessToken", "X-Authentik-Username", "X-Authentik-Groups", "X-Pomerium-Claim-Email", "X-Pomerium-Jwt-Assertion",
		"Tailscale-User-Login", "Tailscale-App-Capabilities", "Cf-Access-Jwt-Assertion", "Cf-Access-Authenticated-User-Email", "X-Consumer-Username",
		"X-Consumer-Groups", "X-Credential-Identifier", "X-Anonymous-Consumer", "Teleport-Jwt-Assertion",
	},
	"platforms": {
		"X-Amzn-Oidc-Identity", "X-Amzn-Oidc-Data", "X-Amzn-Oidc-Accesstoken", "X-Amzn-Mtls-Clientcert-Subject", "X-Amzn-Tls-Version",
		"X-Amzn-Ava-User-Context", "X-Amzn-Request-Context", "CloudFront-Viewer-Address", "X-Goog-IAP-JWT-Assertion", "X-Goog-Authenticated-User-Email",
		"X-Appengine-User-Is-Admin", "X-Appengine-Inbound-Appid", "X-Appengine-Cron", "X-MS-Client-Principal", "X-MS-Client-Principal-Name",
		"X-MS-Token-AAD-Id-Token", "X-MS-Original-Url", "X-Azure-ClientIP", "X-Azure-FDID", "X-WAWS-Unencoded-URL", "Disguised-Host", "True-Client-IP",
		"CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "CF-IPCountry", "CF-Visitor", "Fastly-Client-IP", "Fastly-SSL", "Fly-Client-IP",
		"Fly-Forwarded-Port", "Incap-Client-IP", "DO-Connecting-IP", "X-NF-Client-Connection-IP", "X-Vercel-Forwarded-For", "X-Vercel-IP-Country",
		"X-Sucuri-ClientIP", "Akamai-Origin-Hop", "Ali-CDN-Real-IP",
	},
	"meshes and servers": {
		"X-Envoy-External-Address", "X-Envoy-Original-Path", "X-Envoy-Internal", "Sec-Istio-Auth-Userinfo", "L5d-Client-Id", "L5d-Dst-Override",
		"Dapr-Caller-App-Id", "K-Network-Hash", "WL-Proxy-Client-IP", "WL-Proxy-SSL", "WL-Proxy-Client-Cert", "MS-ASPNETCORE-TOKEN",
		"MS-ASPNETCORE-WinAuthToken",
	},
	"Next.js": {
		"X-Middleware-Subrequest", "X-Middleware-Rewrite", "X-Middleware-Set-Cookie", "X-Invoke-Path", "X-Matched-Path", "X-Now-Route-Matches",
		"X-Next-Resume-State-Length", "X-Prerender-Revalidate", "Next-Resume",
	},
	"tenants and roles": {
		"X-Scope-OrgID", "X-Hasura-Role", "X-Hasura-User-Id", "X-Hasura-Admin-Secret", "Thanos-Tenant", "X-Grafana-User", "Argocd-Username",
		"Argocd-User-Groups", "Kubeflow-UserId", "X-ProxiedEntitiesChain", "X-Hass-User-ID", "RStudio-Connect-Credentials", "Shiny-Server-Credentials",
	},
}

func TestIdentityFieldsOfClientsNeverArrive(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject, forward: forward.Config{DropFields: []string{"X-Our-Own", "ACME-*"}}})
	for who, names := range identities {
		for _, name := range names {
			for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_")} {
				if got := seen(t, p, get("/", spelling+": theirs", "Accept: */*")); got != "Accept: */*\r\n"+injected+"\r\n" {
					t.Errorf("with %s (%s) the upstream receives:\n%s\nwant only Accept and:\n%s", spelling, who, got, injected)
				}
			}
		}
	}
}

func TestOtherSpellingsOfFieldNamesNeverArrive(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject})
	for _, name := range []string{
		"X_User", "x-USER", "X_Forwarded_User", "X-Forwarded_User", "X_FORWARDED_FOR", "Remote_User", "X.User", "X.Forwarded.For",
		"X~User", "X'Auth!Token", "X+Real+IP", "Any_Name", "_", "X_", "Content_Length", "Transfer_Encoding", "Content.Length", "Host_",
		"Transfer.Encoding", "Cookie_", "lilypad.user", "$WSRU", "!~Passenger",
	} {
		if got := seen(t, p, get("/", name+": theirs")); got != injected+"\r\n" {
			t.Errorf("with %s the upstream receives:\n%s\nwant:\n%s", name, got, injected)
		}
	}
}

func TestOrdinaryFieldsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{request: inject})
	ordinary := "User-Agent: frog/1.0 (green)\r\naccept: text/html;q=0.9, */*\r\nX-Requested-With: fetch\r\nX-CSRF-Token: a\r\n" +
		"Sec-Fetch-Site: same-origin\r\nIf-None-Match: \"a\", W/\"b\"\r\nX-Odd:   inner  space \xe9\r\nX-Empty: \r\ntraceparent: 00-a-b-01\r\n" +
		"Cache-Control: max-age=0\r\nCache-Control: no-cache\r\nX-Xuser: y\r\nXuser: z\r\n"
	for _, name := range []string{
		// Browsers, and the libraries that run in them.
		"Accept-Language", "DNT", "Sec-GPC", "Priority", "Save-Data", "DPR", "Last-Event-ID", "Range", "X-XSRF-TOKEN", "X-CSRFToken", "X-API-Key",
		"HX-Request", "Turbo-Frame", "X-Inertia", "X-Livewire", "X-PJAX", "RSC", "Next-Action", "Next-Url", "Next-Router-State-Tree", "X-Nextjs-Data",
		"X-Client-Info", "X-Client-Version", "X-Socket-ID", "X-SignalR-User-Agent", "X-Grpc-Web", "Upload-Offset", "Tus-Resumable", "Idempotency-Key",
		"X-Tenant-Id", "X-Project-Id", "X-Grafana-Org-Id", "X-Device-Id", "X-Timezone", "X-Realm", "X-Origin",
		// Traces.
		"Tracestate", "Baggage", "B3", "X-B3-TraceId", "X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Sentry-Trace", "X-Correlation-ID",
		// Webhooks.
		"X-Hub-Signature-256", "X-GitHub-Event", "X-Gitlab-Token", "Stripe-Signature", "X-Slack-Signature", "X-Goog-Channel-ID", "X-Amz-Sns-Message-Type",
		"X-Twilio-Signature", "X-Shopify-Topic", "X-Telegram-Bot-Api-Secret-Token", "Webhook-Signature", "Ce-Id", "X-MS-Client-Request-Id",
	} {
		ordinary += name + ": a\r\n"
	}
	want := strings.Replace(ordinary, "  inner  space \xe9", "inner  space \xe9", 1)
	if got := seen(t, p, get("/", strings.TrimSuffix(ordinary, "\r\n"))); got != want+injected+"\r\n" {
		t.Errorf("the upstream receives:\n%s\nwant:\n%s", got, want+injected)
	}
}

func TestConnectionFieldCannotRemoveInjectedFields(t *testing.T) {
	t.Parallel()
	edit := inject
	edit.Fields = []http1.Field{{Name: "X-Tenant", Value: "ours"}}
	p := newProxy(t, showing(t), setup{request: edit})
	got := seen(t, p, get("/", "Connection: close, Authorization, X-User-Id, X-Request-Id, X-Forwarded-For", "Connection: X-Tenant, host, X-Hop",
		"X-Hop: gone", "X-Kept: stays", "X-Tenant: theirs", "Authorization: Bearer theirs"))
	if want := "X-Kept: stays\r\n" + injected + "X-Tenant: ours\r\n\r\n"; got != want {
		t.Errorf("the upstream receives:\n%s\nwant:\n%s", got, want)
	}
}

func TestOurCookieIsNotForwarded(t *testing.T) {
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

		// What some server takes for our cookie, with the rest of that pair.
		"$Version=1; " + ourCookie + "=secret; $Path=/; b=2":       "Cookie: $Version=1; $Path=/; b=2\r\n",
		"$Version=1, " + ourCookie + "=secret; b=2":                "Cookie: b=2\r\n",
		"a=1; " + ourCookie + "\t=secret; b=2":                     "Cookie: a=1; b=2\r\n",
		"a=1;\u2003" + ourCookie + "=secret":                       "Cookie: a=1\r\n",
		"a=1; " + ourCookie + "\xa0=secret":                        "Cookie: a=1\r\n",
		"a=1, " + ourCookie + "=secret; b=2":                       "Cookie: b=2\r\n",
		"a=1 " + ourCookie + "=secret; b=2":                        "Cookie: b=2\r\n",
		"a=\"1\" " + ourCookie + "=\"secret\"; b=2":                "Cookie: b=2\r\n",
		"\"" + ourCookie + "\"=secret; b=2":                        "Cookie: b=2\r\n",
		"__%48ost-Http-lilypad=secret; b=2":                        "Cookie: b=2\r\n",
		"_%5fHost%2DHttp-lilypad=secret; b=2":                      "Cookie: b=2\r\n",
		"..Host-Http-lilypad=secret; _[Host-Http-lilypad=s; b=2":   "Cookie: b=2\r\n",
		ourCookie + "[0]=secret; b=2":                              "Cookie: b=2\r\n",
		"=" + ourCookie + "=secret; b=2":                           "Cookie: b=2\r\n",
		"a=" + ourCookie + "=1; lilypad=2; __Host-Http-lilypad2=3": "Cookie: a=" + ourCookie + "=1; lilypad=2; __Host-Http-lilypad2=3\r\n",
	} {
		if got := seen(t, p, get("/", "Cookie: "+sent)); got != want+injected+"\r\n" {
			t.Errorf("with the cookies %q the upstream receives:\n%s\nwant:\n%s", sent, got, want+injected)
		}
	}
	two := seen(t, p, get("/", "Cookie: a=1", "cookie: "+ourCookie+"=secret", "COOKIE: b=2"))
	if two != "Cookie: a=1\r\nCOOKIE: b=2\r\n"+injected+"\r\n" {
		t.Errorf("of three Cookie fields the upstream receives:\n%s\nwant a and b", two)
	}
}

func TestOnlyTheConfiguredUpstreamIsDialled(t *testing.T) {
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
		"GET / HTTP/1.1\r\nHost: " + other + "\r\n\r\n":                                   200,
		"GET http://" + other + "/ HTTP/1.1\r\nHost: " + other + "\r\n\r\n":               200,
		"GET http://" + other + "/ HTTP/1.1\r\nHost: a\r\n\r\n":                           400,
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
			t.Errorf("%q: answer is %d, want %d", request, a.StatusCode, status)
		}
	}
	select {
	case <-reached:
		t.Error("another host was dialled, want only the upstream")
	default:
	}
}

// The target that arrives is the one that was authorized, byte for byte.
func TestTargetsArriveUnchanged(t *testing.T) {
	t.Parallel()
	p := newProxy(t, showing(t), setup{})
	for _, target := range []string{"/", "/?", "/a%20b?c=%2F..%2f&d", "/fr%c3%b6sche/", "/a;b=c?x?y", "/100%25", "/a|b"} {
		c := dial(t, p.addr)
		c.write(get(target))
		if a := c.answer("GET"); !strings.HasPrefix(a.body, "GET "+target+" HTTP/1.1\r\n") {
			t.Errorf("%s arrives as %q, want it unchanged", target, a.body)
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
			t.Errorf("%s: answer is %d, reached the upstream: %v; want 500 and not reached", name, a.StatusCode, reached)
		}
	}
}

func TestForwardedFields(t *testing.T) {
	t.Parallel()
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	hops := func(n int) forward.Config { return forward.Config{TrustedHops: n} }
	// Only the peer can be a trusted proxy: other hosts of a trusted range are ordinary clients.
	one := forward.Config{TrustedProxies: prefixes("127.0.0.0/8", "10.0.0.0/8")}
	for name, c := range map[string]struct {
		cfg   forward.Config
		lines []string
		want  [3]string
	}{
		"no proxy is trusted":      {forward.Config{}, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"scheme by configuration":  {forward.Config{Scheme: "http"}, nil, [3]string{"127.0.0.1", "http", "app.example"}},
		"another proxy is trusted": {forward.Config{TrustedHops: 1, TrustedProxies: prefixes("192.0.2.0/28")}, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"the peer is trusted":      {one, []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example"}, [3]string{"203.0.113.9", "http", "shop.example"}},
		"any peer is trusted":      {hops(1), []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example"}, [3]string{"203.0.113.9", "http", "shop.example"}},
		"a pod forges":             {one, []string{"X-Forwarded-For: 8.8.8.8, 10.1.2.3"}, [3]string{"10.1.2.3", "https", "app.example"}},
		"a pod forges, any peer":   {hops(1), []string{"X-Forwarded-For: 8.8.8.8, 10.1.2.3"}, [3]string{"10.1.2.3", "https", "app.example"}},
		"a pod forges a pod":       {one, []string{"X-Forwarded-For: 8.8.8.8, 127.0.0.1, 10.1.2.3"}, [3]string{"10.1.2.3", "https", "app.example"}},
		"a client forges":          {hops(1), []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"two fields":               {hops(1), []string{"X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 203.0.113.9"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"two hops":                 {hops(2), []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.1"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"two hops in two fields":   {hops(2), []string{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-For: 10.0.0.1"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"two hops that add all":    {hops(2), []string{"X-Forwarded-For: 203.0.113.9, 10.0.0.1", "X-Forwarded-Proto: https, http", "X-Forwarded-Host: shop.example, inner"}, [3]string{"203.0.113.9", "https", "shop.example"}},
		"two hops, one replaces":   {hops(2), []string{"X-Forwarded-For: 203.0.113.9, 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example"}, [3]string{"203.0.113.9", "http", "shop.example"}},
		"three hops":               {hops(3), []string{"X-Forwarded-For: 203.0.113.9, 10.0.0.1, 10.0.0.2"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"missing":                  {hops(1), nil, [3]string{"127.0.0.1", "https", "app.example"}},
		"empty":                    {hops(1), []string{"X-Forwarded-For: , ,"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"too short":                {hops(2), []string{"X-Forwarded-For: 203.0.113.9"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"empty elements":           {hops(1), []string{"X-Forwarded-For: , 6.6.6.6,, 203.0.113.9, "}, [3]string{"203.0.113.9", "https", "app.example"}},
		"malformed":                {hops(1), []string{"X-Forwarded-For: 6.6.6.6, frog"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"malformed before":         {hops(1), []string{"X-Forwarded-For: frog, 203.0.113.9"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"malformed behind":         {hops(2), []string{"X-Forwarded-For: 203.0.113.9, unknown"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"obscured":                 {hops(1), []string{"X-Forwarded-For: _hidden"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"part of an address":       {hops(1), []string{"X-Forwarded-For: 203.0.113"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"address in brackets":      {hops(1), []string{"X-Forwarded-For: [203.0.113.9]"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"broken brackets":          {hops(1), []string{"X-Forwarded-For: ]203.0.113.9["}, [3]string{"127.0.0.1", "https", "app.example"}},
		"range":                    {hops(1), []string{"X-Forwarded-For: 203.0.113.0/24"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"quoted":                   {hops(1), []string{`X-Forwarded-For: "203.0.113.9"`}, [3]string{"127.0.0.1", "https", "app.example"}},
		"port":                     {hops(1), []string{"X-Forwarded-For: 203.0.113.9:4711"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"no such port":             {hops(1), []string{"X-Forwarded-For: 203.0.113.9:99999"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"IPv6":                     {hops(1), []string{"X-Forwarded-For: 2001:DB8::1"}, [3]string{"2001:db8::1", "https", "app.example"}},
		"IPv6 in brackets":         {hops(1), []string{"X-Forwarded-For: [2001:db8::1]"}, [3]string{"2001:db8::1", "https", "app.example"}},
		"IPv6 with a port":         {hops(1), []string{"X-Forwarded-For: [2001:db8::1]:4711"}, [3]string{"2001:db8::1", "https", "app.example"}},
		"IPv6 with a zone":         {hops(1), []string{"X-Forwarded-For: fe80::1%eth0"}, [3]string{"fe80::1", "https", "app.example"}},
		"IPv4 in IPv6":             {hops(1), []string{"X-Forwarded-For: 6.6.6.6, ::ffff:203.0.113.9"}, [3]string{"203.0.113.9", "https", "app.example"}},
		"Forwarded is not read":    {hops(1), []string{"Forwarded: for=6.6.6.6;proto=http;host=shop.example"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"X-Real-IP is not read":    {hops(1), []string{"X-Real-IP: 6.6.6.6"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"other spellings neither":  {hops(1), []string{"X_Forwarded_For: 6.6.6.6", "X_Forwarded_Host: shop.example"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"odd scheme, no host":      {hops(1), []string{"X-Forwarded-Proto: javascript", "X-Forwarded-Host: a/b"}, [3]string{"127.0.0.1", "https", "app.example"}},
		"WebSocket's scheme":       {hops(1), []string{"X-Forwarded-Proto: WS"}, [3]string{"127.0.0.1", "http", "app.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, showing(t), setup{forward: c.cfg, request: forward.RequestEdit{RequestID: "r1"}})
			want := fmt.Sprintf("X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\nX-Forwarded-Host: %s\r\nX-Forwarded-Port: %s\r\nX-Request-Id: r1\r\n\r\n",
				c.want[0], c.want[1], c.want[2], map[string]string{"https": "443", "http": "80"}[c.want[1]])
			if got := seen(t, p, get("/", c.lines...)); got != want {
				t.Errorf("the upstream receives:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
