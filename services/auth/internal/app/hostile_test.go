package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/provider/providertest"
)

// refusalLines returns the log lines about failed sign-ins.
func (s *service) refusalLines() (lines []string) {
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, `"msg":"sign-in with a provider failed"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestAHostileProviderSignsNobodyIn has the cases of the OpenID Foundation's test plans for relying
// parties. Each is refused with one log line that names a setting.
func TestAHostileProviderSignsNobodyIn(t *testing.T) {
	f := federated(t)
	f.mustSignIn(nil)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) providertest.Wrong {
		return providertest.Wrong{Claims: func(c jwt.MapClaims) { c[name] = value }}
	}
	sign := func(by func(p *providertest.Provider, c jwt.MapClaims) string) providertest.Wrong {
		return providertest.Wrong{Sign: by}
	}
	callback := func(change func(url.Values)) providertest.Wrong { return providertest.Wrong{Callback: change} }
	for name, c := range map[string]struct {
		wrong   providertest.Wrong
		setting string
	}{
		"iss wrong":              {claim("iss", "https://evil.test"), "issuer"},
		"iss missing":            {claim("iss", nil), "issuer"},
		"aud wrong":              {claim("aud", "someone-else"), "client_id"},
		"aud missing":            {claim("aud", nil), "client_id"},
		"aud of several, no azp": {claim("aud", []string{providertest.Client, "else"}), "client_id"},
		"azp of another":         {claim("azp", "else"), "client_id"},
		"sub missing":            {claim("sub", nil), "issuer"},
		"sub empty":              {claim("sub", ""), "issuer"},
		"sub too long":           {claim("sub", strings.Repeat("x", 256)), "issuer"},
		"sub a number":           {claim("sub", 7), "issuer"},
		"iat missing":            {claim("iat", nil), "issuer"},
		"iat in the future":      {claim("iat", time.Now().Add(5*time.Minute).Unix()), "clock"},
		"iat long ago":           {claim("iat", time.Now().Add(-time.Hour).Unix()), "clock"},
		"expired":                {claim("exp", time.Now().Add(-time.Minute).Unix()), "clock"},
		"exp missing":            {claim("exp", nil), "clock"},
		"nonce wrong":            {claim("nonce", "another"), "issuer"},
		"nonce missing":          {claim("nonce", nil), "issuer"},
		"at_hash wrong":          {claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "issuer"},
		"groups no list":         {claim("groups", 7), "issuer"},
		"signed by another key": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			return p.SignedBy(jwt.SigningMethodES256, stranger, c)
		}), "issuer"},
		"alg none": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			return p.SignedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, c)
		}), "issuer"},
		"HS256 with the secret": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			return p.SignedBy(jwt.SigningMethodHS256, []byte(providertest.Secret), c)
		}), "issuer"},
		"alg that is not announced": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			return p.SignedBy(jwt.SigningMethodRS256, big, c)
		}), "issuer"},
		"signature cut off": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			text := p.Signed(c, nil)
			return text[:strings.LastIndex(text, ".")+1]
		}), "issuer"},
		"kid unknown": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			return p.Signed(c, map[string]any{"kid": "unknown"})
		}), "issuer"},
		"kid absent, signed by another key": {sign(func(p *providertest.Provider, c jwt.MapClaims) string {
			return strings.Replace(p.Signed(c, map[string]any{"kid": nil}), ".", ".e30", 1)
		}), "issuer"},
		"no JWT at all":               {sign(func(*providertest.Provider, jwt.MapClaims) string { return "mina" }), "issuer"},
		"no id_token":                 {providertest.Wrong{Answer: func(a map[string]any) { delete(a, "id_token") }}, "scopes"},
		"iss of the response wrong":   {callback(func(v url.Values) { v.Set("iss", "https://evil.test") }), "issuer"},
		"iss of the response missing": {callback(func(v url.Values) { v.Del("iss") }), "issuer"},
		"iss twice":                   {callback(func(v url.Values) { v.Add("iss", v.Get("iss")) }), "issuer"},
		"code missing":                {callback(func(v url.Values) { v.Del("code") }), "issuer"},
		"code of nobody":              {callback(func(v url.Values) { v.Set("code", "x") }), "redirect URI"},
		"an error nobody knows":       {callback(func(v url.Values) { v.Set("error", "strange"); v.Set("error_description", "\n\"<b>") }), "client_id"},
		"userinfo sub mismatch": {providertest.Wrong{
			Claims: func(c jwt.MapClaims) { delete(c, "email") }, UserInfo: func(c map[string]any) { c["sub"] = "somebody-else" },
		}, "issuer"},
		"tokens are no JSON": {providertest.Wrong{Token: func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true }}, "issuer"},
		"the secret is refused": {providertest.Wrong{Token: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
			return true
		}}, "client_secret_file"},
		"the token endpoint redirects away": {providertest.Wrong{Token: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}}, ""},
		"the answer is gigantic": {providertest.Wrong{Token: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(`{"access_token":"`))
			for range 1 << 12 {
				_, _ = w.Write([]byte(strings.Repeat("x", 1<<12)))
			}
			return true
		}}, ""},
		"the answer is an error of the server": {providertest.Wrong{Token: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := federation{&service{t: t, url: f.url, issuer: f.issuer, key: f.key, router: f.router, logs: f.logs}, f.Provider}
			before := len(f.refusalLines())
			f.Do(c.wrong)
			defer f.Do(providertest.Wrong{})
			if c.setting == "" {
				f.mustRefuse(api.RefusalUnavailable, nil)
				return
			}
			f.mustRefuse(api.RefusalFailed, nil)
			lines := f.refusalLines()[before:]
			if len(lines) != 1 || !strings.Contains(lines[0], `"provider":"pond"`) || !strings.Contains(strings.Split(lines[0], `"error"`)[0], c.setting) {
				t.Errorf("logged %q, want one line with setting %q", lines, c.setting)
			}
		})
	}
	f.mustSignIn(nil)
	if strings.Contains(f.logs.String(), providertest.Secret) {
		t.Error("the log contains the client secret")
	}
}

func TestAnAnswerThatNeverEndsIsGivenUp(t *testing.T) {
	f := federated(t)
	f.mustSignIn(nil)
	for name, endless := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"silent": func(_ http.ResponseWriter, r *http.Request) bool {
			_ = r.ParseForm()
			<-r.Context().Done()
			return true
		},
		"slow": func(w http.ResponseWriter, r *http.Request) bool {
			_ = r.ParseForm() // only then the server notices that the client is gone
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
			return true
		},
	} {
		began := time.Now()
		f.Do(providertest.Wrong{Token: endless})
		f.mustRefuse(api.RefusalUnavailable, nil)
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("%s: refused after %v, want a few seconds", name, took)
		}
	}
}

// TestDiscoveryLeadsNowhereElse: what a discovery document announces must not make this service
// call other hosts in the clear, nor itself.
func TestDiscoveryLeadsNowhereElse(t *testing.T) {
	var called atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	t.Cleanup(inside.Close)
	for name, wrong := range map[string]providertest.Wrong{
		"another issuer":        {Discovery: func(d map[string]any) { d["issuer"] = "https://evil.test" }},
		"issuer with a slash":   {Discovery: func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/" }},
		"http token endpoint":   {Discovery: func(d map[string]any) { d["token_endpoint"] = "http://10.0.0.1/token" }},
		"file as jwks_uri":      {Discovery: func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" }},
		"metadata as userinfo":  {Discovery: func(d map[string]any) { d["userinfo_endpoint"] = "http://169.254.169.254/latest" }},
		"user in the URL":       {Discovery: func(d map[string]any) { d["token_endpoint"] = "https://a@evil.test/" }},
		"no token endpoint":     {Discovery: func(d map[string]any) { delete(d, "token_endpoint") }},
		"script as end_session": {Discovery: func(d map[string]any) { d["end_session_endpoint"] = "javascript:alert(1)" }},
		"HS256 only":            {Discovery: func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"HS256", "none"} }},
		"a redirect elsewhere": {Document: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, inside.URL, http.StatusFound)
			return true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, key := settings(t, dir)
			p := providertest.New(t, mina())
			p.Do(wrong)
			c.ProvidersFile = providersFile(t, dir, entry("pond", p))
			s := start(t, c, key)
			a := s.begin(nil)
			problem := decode[api.Problem](t, a.body)
			want := string(api.RefusalFailed)
			if name == "a redirect elsewhere" {
				want = string(api.RefusalUnavailable)
			}
			if problem.Code != want || a.status < 500 {
				t.Errorf("begin: status %d, want %s: %s", a.status, want, a.body)
			}
		})
	}
	if called.Load() != 0 {
		t.Errorf("%d calls of another host, want none", called.Load())
	}
}

func TestMetadataAddressesAreNotDialed(t *testing.T) {
	dir := t.TempDir()
	c, key := settings(t, dir)
	p := providertest.New(t, mina())
	c.ProvidersFile = providersFile(t, dir,
		strings.Replace(entry("link", p), p.URL, "https://169.254.169.254", 1), strings.Replace(entry("none", p), p.URL, "https://id.invalid", 1), entry("pond", p))
	s := start(t, c, key)
	for _, id := range []string{"link", "none"} {
		if a := s.begin(func(in *api.NewAuthorization) { in.Provider = new(id) }); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d, want 503: %s", id, a.status, a.body)
		}
	}
	if !strings.Contains(s.logs.String(), "has an address that no provider can have") {
		t.Errorf("the link-local address was dialed:\n%s", s.logs)
	}
	s.mustBegin(nil) // the others still work
}

// TestASignInCompletesOnceInItsBrowser: login CSRF, replays and mix-up are refused.
func TestASignInCompletesOnceInItsBrowser(t *testing.T) {
	dir := t.TempDir()
	c, key := settings(t, dir)
	p, evil := providertest.New(t, mina()), providertest.New(t, jwt.MapClaims{"sub": "mina-1", "email": "mina@pond.test", "email_verified": true})
	c.ProvidersFile = providersFile(t, dir, entry("pond", p), entry("evil", evil))
	f := federation{start(t, c, key), p}
	unknown := func(name string, a answer) {
		t.Helper()
		if problem := decode[api.Problem](t, a.body); a.status != http.StatusNotFound || problem.Code != "unknown_authorization" {
			t.Errorf("%s: status %d, want 404 unknown_authorization: %s", name, a.status, a.body)
		}
	}
	query := f.Approve(f.mustBegin(nil))
	unknown("another browser", f.complete(query, func(in *api.AuthorizationResponse) { in.Browser = "the-flow-cookie-of-another-one" }))
	unknown("at the redirect URI of another provider", f.complete(query, func(in *api.AuthorizationResponse) { in.Provider = "evil" }))
	unknown("another client", f.do(f.request(http.MethodPost, "/v1/authorizations/complete", f.assertion("other"), "application/json",
		`{"provider":"pond","browser":"`+browser+`","query":"`+query+`","presenter":{"user_agent":"","client_address":""}}`), false))
	unknown("another state", f.complete(strings.Replace(query, "state=", "state=A", 1), nil))
	unknown("no state", f.complete("code=x", nil))
	unknown("two states", f.complete(query+"&state=x", nil))
	unknown("nonsense", f.complete("%zz", nil))
	if a := f.complete(query, nil); a.status != http.StatusOK || decode[api.CompletedAuthorization](t, a.body).Session == nil {
		t.Errorf("in its browser: status %d, want 200 with a session: %s", a.status, a.body)
	}
	unknown("again", f.complete(query, nil))

	// A code of one flow in another: PKCE and nonce differ.
	first, second := f.Approve(f.mustBegin(nil)), f.Approve(f.mustBegin(nil))
	stolen, _ := url.ParseQuery(first)
	mixed, _ := url.ParseQuery(second)
	mixed.Set("code", stolen.Get("code"))
	if out := decode[api.CompletedAuthorization](t, f.complete(mixed.Encode(), nil).body); out.Refusal == nil || out.Refusal.Code != api.RefusalFailed {
		t.Errorf("a code of another flow: %+v, want provider_failed", out)
	}

	// Mix-up: the evil provider sends the browser to the honest one with the state of its own flow.
	began, _ := url.Parse(f.mustBegin(func(in *api.NewAuthorization) { in.Provider = new("evil") }))
	v := url.Values{"code": {"x"}, "state": {began.Query().Get("state")}, "iss": {p.URL}}
	out := decode[api.CompletedAuthorization](t, f.complete(v.Encode(), func(in *api.AuthorizationResponse) { in.Provider = "evil" }).body)
	if out.Refusal == nil || out.Refusal.Code != api.RefusalFailed || evil.Requests("/token") != 0 {
		t.Errorf("mix-up: %+v and %d codes given to the evil provider, want provider_failed and none", out, evil.Requests("/token"))
	}
}

func TestTwoTabsBothSignIn(t *testing.T) {
	f := federated(t)
	var all sync.WaitGroup
	queries := []string{f.Approve(f.mustBegin(nil)), f.Approve(f.mustBegin(nil)), f.Approve(f.mustBegin(nil))}
	subjects := make([]string, len(queries))
	for i, q := range queries {
		all.Go(func() {
			if out := decode[api.CompletedAuthorization](t, f.complete(q, nil).body); out.Session != nil {
				subjects[i] = out.Session.User.Sub
			}
		})
	}
	all.Wait()
	if subjects[0] == "" || subjects[1] != subjects[0] || subjects[2] != subjects[0] {
		t.Errorf("signed in as %q, want one account thrice\n%s", subjects, f.logs)
	}
}

func TestKeysMayChangeInTheMiddle(t *testing.T) {
	f := federated(t)
	first := f.mustSignIn(nil)
	query := f.Approve(f.mustBegin(nil))
	f.Rotate()
	if out := decode[api.CompletedAuthorization](t, f.complete(query, nil).body); out.Session == nil || out.Session.User.Sub != first.User.Sub {
		t.Errorf("completed with %+v, want a session: the new key is published", out)
	}
	fetched := f.Requests("/keys")
	f.mustSignIn(nil)
	if f.Requests("/keys") != fetched {
		t.Error("the keys were fetched again although they are known")
	}
}

func TestAProviderThatIsDownLeavesTheOthers(t *testing.T) {
	dir := t.TempDir()
	c, key := settings(t, dir)
	p, down := providertest.New(t, mina()), providertest.New(t, mina())
	down.Close()
	c.ProvidersFile = providersFile(t, dir, entry("down", down), entry("pond", p))
	f := federation{start(t, c, key), p}
	a := f.begin(func(in *api.NewAuthorization) { in.Provider = new("down") })
	if a.status != http.StatusServiceUnavailable || decode[api.Problem](t, a.body).Code != "provider_unavailable" {
		t.Errorf("down: status %d, want 503 provider_unavailable: %s", a.status, a.body)
	}
	a = f.begin(func(in *api.NewAuthorization) { in.Provider = new("nobody") })
	if a.status != http.StatusNotFound || decode[api.Problem](t, a.body).Code != "unknown_provider" {
		t.Errorf("unknown: status %d, want 404 unknown_provider: %s", a.status, a.body)
	}
	f.mustSignIn(nil)
	f.mustSignIn(func(in *api.NewAuthorization) { in.Provider, in.Issuer = nil, &p.URL })
	f.register("fred@pond.test")
}
