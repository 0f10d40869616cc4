package forwardauth

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// envoy is a client with grpc-go and Envoy's types.
type envoy struct {
	t      *testing.T
	client authv3.AuthorizationClient
}

func (l *lab) dial() *envoy {
	l.t.Helper()
	conn, err := grpc.NewClient(l.envoy, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	return &envoy{l.t, authv3.NewAuthorizationClient(conn)}
}

// question is a check request as Envoy fills it. raw has the header as Envoy sends it with
// encode_raw_headers.
func question(method, path string, raw bool, pairs ...string) *authv3.CheckRequest {
	pairs = append([]string{":method", method, ":path", path, ":authority", "frogs.test", ":scheme", "https", "x-forwarded-proto", "https", "x-forwarded-for", "203.0.113.7"}, pairs...)
	q := &authv3.AttributeContext_HttpRequest{Id: "7", Method: method, Path: path, Host: "frogs.test", Scheme: "https", Size: -1, Protocol: "HTTP/2"}
	if raw {
		q.HeaderMap = new(corev3.HeaderMap)
	} else {
		q.Headers = make(map[string]string)
	}
	for i := 0; i < len(pairs); i += 2 {
		name, value := strings.ToLower(pairs[i]), pairs[i+1]
		switch before, again := q.Headers[name]; {
		case raw:
			q.HeaderMap.Headers = append(q.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
		case again:
			q.Headers[name] = before + "," + value
		default:
			q.Headers[name] = value
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:            &authv3.AttributeContext_Peer{Principal: "spiffe://frogs/ingress", Labels: map[string]string{"a": "b"}},
		Destination:       &authv3.AttributeContext_Peer{Service: "frogs"},
		Request:           &authv3.AttributeContext_Request{Time: timestamppb.Now(), Http: q},
		ContextExtensions: map[string]string{"c": "d"},
		MetadataContext:   new(corev3.Metadata),
		TlsSession:        &authv3.AttributeContext_TLSSession{Sni: "frogs.test"},
	}}
}

func (e *envoy) ask(q *authv3.CheckRequest) *authv3.CheckResponse {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	r, err := e.client.Check(ctx, q)
	if err != nil {
		e.t.Fatalf("check %s %s: %v", q.GetAttributes().GetRequest().GetHttp().GetMethod(), q.GetAttributes().GetRequest().GetHttp().GetPath(), err)
	}
	if err := r.ValidateAll(); err != nil {
		e.t.Errorf("Envoy's rules for an answer: %v", err)
	}
	return r
}

// fields returns the header fields in options, and whether each of them adds to those that are there.
func fields(options []*corev3.HeaderValueOption) (header http.Header, adds map[string]bool) {
	header, adds = http.Header{}, map[string]bool{}
	for _, o := range options {
		header.Add(o.GetHeader().GetKey(), o.GetHeader().GetValue())
		adds[http.CanonicalHeaderKey(o.GetHeader().GetKey())] = o.GetAppend().GetValue() //nolint:staticcheck // all releases of Envoy know it
	}
	return header, adds
}

func TestEnvoyAsksWithItsOwnTypes(t *testing.T) {
	l := newLab(t)
	e, c := l.dial(), cookieName+"="+l.login(l.browser)
	page := []string{"Sec-Fetch-Mode", "navigate"}
	for name, tc := range map[string]struct {
		method, path string
		pairs        []string
		status       int
		location     string
		token        bool
		cookies      string
		removed      []string
	}{
		"stranger":               {"GET", "/", []string{"Authorization", "Bearer forged", "Cookie", "theme=dark"}, 200, "", false, "theme=dark", []string{"authorization"}},
		"stranger's page":        {"GET", "/account?x=y", page, 303, "https://frogs.test/login?next=%2Faccount%3Fx%3Dy", false, "", nil},
		"stranger's fetch":       {"GET", "/account", nil, 401, "", false, "", nil},
		"signed in":              {"GET", "/account", []string{"Cookie", c + "; theme=dark"}, 200, "", true, "theme=dark", nil},
		"signed in, only cookie": {"GET", "/account", []string{"Cookie", c}, 200, "", true, "", []string{"cookie"}},
		"signed in, public":      {"GET", "/public", []string{"Cookie", c}, 200, "", false, "", []string{"authorization", "cookie"}},
		"without the role":       {"GET", "/admin", []string{"Cookie", c}, 403, "", false, "", nil},
		"a write of our own":     {"POST", "/account", []string{"Cookie", c, "Origin", "https://frogs.test"}, 200, "", true, "", []string{"cookie"}},
		"a write from elsewhere": {"POST", "/account", []string{"Cookie", c, "Origin", "https://evil.test"}, 403, "", false, "", nil},
		"another host named":     {"GET", "/account", append([]string{"X-Forwarded-Host", "evil.test"}, page...), 303, "https://frogs.test/login?next=%2Faccount", false, "", nil},
		"another spelling":       {"GET", "/Account;x=1/", nil, 401, "", false, "", nil},
		"dots behind":            {"GET", "/account..", nil, 401, "", false, "", nil},
		"two readings":           {"GET", "/public/..%2faccount", nil, 400, "", false, "", nil},
		"the sidecar's own":      {"GET", "/auth/session", []string{"Cookie", c}, 404, "", false, "", nil},
	} {
		for _, raw := range []bool{false, true} {
			r := e.ask(question(tc.method, tc.path, raw, tc.pairs...))
			got := int(r.GetDeniedResponse().GetStatus().GetCode())
			header, adds := fields(r.GetDeniedResponse().GetHeaders())
			if codes.Code(r.GetStatus().GetCode()) == codes.OK {
				got = http.StatusOK
				header, adds = fields(r.GetOkResponse().GetHeaders())
			}
			if got != tc.status || header.Get("Location") != tc.location {
				t.Errorf("%s, raw %t: status %d to %q, want %d to %q", name, raw, got, header.Get("Location"), tc.status, tc.location)
				continue
			}
			if strings.HasPrefix(header.Get("Authorization"), "Bearer access-") != tc.token || len(header.Values("Authorization")) > 1 || adds["Authorization"] {
				t.Errorf("%s, raw %t: Authorization %q, want one access token that replaces the client's: %t", name, raw, header.Values("Authorization"), tc.token)
			}
			if header.Get("Cookie") != tc.cookies || adds["Cookie"] {
				t.Errorf("%s, raw %t: Cookie %q, want %q", name, raw, header.Get("Cookie"), tc.cookies)
			}
			if !slices.Equal(r.GetOkResponse().GetHeadersToRemove(), tc.removed) {
				t.Errorf("%s, raw %t: removes %q, want %q", name, raw, r.GetOkResponse().GetHeadersToRemove(), tc.removed)
			}
			if got >= http.StatusBadRequest && (r.GetDeniedResponse().GetBody() == "" || header.Get("Content-Type") == "") {
				t.Errorf("%s, raw %t: no body, or no type", name, raw)
			}
		}
	}
}

// In a denial as in a pass, Set-Cookie must not replace another one.
func TestARotatedCookieReachesTheClientThroughEnvoy(t *testing.T) {
	l := newLab(t)
	l.auth.setLife(1)
	value := l.login(l.browser)
	e := l.dial()
	deadline := time.Now().Add(time.Minute)
	for {
		r := e.ask(question("GET", "/account", true, "Cookie", cookieName+"="+value))
		header, adds := fields(r.GetOkResponse().GetResponseHeadersToAdd())
		next := reply{header: header}.sets(cookieName)
		if next != "" && next != value {
			if !adds["Set-Cookie"] {
				t.Error("the cookie would replace the application's")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no rotated cookie in response_headers_to_add")
		}
	}
}

func TestWhatEnvoyNeverSendsIsRefused(t *testing.T) {
	l := newLab(t)
	for name, tc := range map[string]struct {
		change func(*authv3.AttributeContext_HttpRequest)
		status int
	}{
		"nothing changed":    {func(*authv3.AttributeContext_HttpRequest) {}, 200},
		"no path":            {func(q *authv3.AttributeContext_HttpRequest) { q.Path = "" }, 400},
		"no method":          {func(q *authv3.AttributeContext_HttpRequest) { q.Method = "" }, 400},
		"no host":            {func(q *authv3.AttributeContext_HttpRequest) { q.Host = "" }, 400},
		"another path":       {func(q *authv3.AttributeContext_HttpRequest) { q.Headers[":path"] = "/account" }, 400},
		"another host":       {func(q *authv3.AttributeContext_HttpRequest) { q.Headers["host"] = "evil.test" }, 400},
		"a query":            {func(q *authv3.AttributeContext_HttpRequest) { q.Query = "x" }, 400},
		"both headers":       {func(q *authv3.AttributeContext_HttpRequest) { q.HeaderMap = &corev3.HeaderMap{} }, 400},
		"a replaced byte":    {func(q *authv3.AttributeContext_HttpRequest) { q.Path = "/!"; q.Headers[":path"] = "/!" }, 400},
		"a name in capitals": {func(q *authv3.AttributeContext_HttpRequest) { q.Headers["X-FORWARDED-PROTO"] = "http" }, 400},
		"a large header":     {func(q *authv3.AttributeContext_HttpRequest) { q.Headers["a"] = strings.Repeat("a", 40<<10) }, 431},
		"a large body":       {func(q *authv3.AttributeContext_HttpRequest) { q.Body = strings.Repeat("a", 1<<20) }, 431},
	} {
		q := question("GET", "/public", false)
		tc.change(q.GetAttributes().GetRequest().GetHttp())
		r := l.dial().ask(q)
		got := int(r.GetDeniedResponse().GetStatus().GetCode())
		if codes.Code(r.GetStatus().GetCode()) == codes.OK {
			got = http.StatusOK
		}
		if got != tc.status {
			t.Errorf("%s: status %d, want %d", name, got, tc.status)
		}
	}
	r := l.dial().ask(new(authv3.CheckRequest))
	if r.GetDeniedResponse().GetStatus().GetCode() != http.StatusBadRequest {
		t.Errorf("an empty check request: %v, want 400", r)
	}
}

// grpc-go, too, takes these for errors and not for answers.
func TestErrorsOfGRPC(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, tc := range map[string]struct {
		call func(*grpc.ClientConn) error
		want codes.Code
	}{
		"compressed": {func(c *grpc.ClientConn) error {
			_, err := authv3.NewAuthorizationClient(c).Check(ctx, question("GET", "/public", false), grpc.UseCompressor(gzip.Name))
			return err
		}, codes.Unimplemented},
		"another method": {func(c *grpc.ClientConn) error {
			return c.Invoke(ctx, "/envoy.service.auth.v2.Authorization/Check", question("GET", "/public", false), new(authv3.CheckResponse))
		}, codes.Unimplemented},
		"two messages": {func(c *grpc.ClientConn) error {
			s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/envoy.service.auth.v3.Authorization/Check")
			for range 2 {
				if err == nil {
					err = s.SendMsg(proto.Message(question("GET", "/public", false)))
				}
			}
			if err == nil {
				err = s.CloseSend()
			}
			if err == nil {
				err = s.RecvMsg(new(authv3.CheckResponse))
			}
			return err
		}, codes.Internal},
	} {
		conn, err := grpc.NewClient(l.envoy, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.call(conn); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		_ = conn.Close()
	}
}
