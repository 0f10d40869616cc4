package app_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/provider/providertest"
)

func TestWhoMaySignInAndAsWhat(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		user     func(jwt.MapClaims)
		refused  api.RefusalCode // "" for a session
		roles    string
	}{
		"roles of groups":                  {[]string{"roles: {keepers: [keeper], admins: [admin, keeper]}"}, func(c jwt.MapClaims) { c["groups"] = []string{"admins", "keepers", "x"} }, "", "admin keeper"},
		"roles of another claim":           {[]string{"groups_claim: teams", "roles: {a: [keeper]}"}, func(c jwt.MapClaims) { c["teams"], c["groups"] = "a", []string{"b"} }, "", "keeper"},
		"in an allowed group":              {[]string{"allow: {groups: [frogs]}"}, func(c jwt.MapClaims) { c["groups"] = []string{"frogs"} }, "", ""},
		"in no allowed group":              {[]string{"allow: {groups: [frogs]}"}, func(c jwt.MapClaims) { c["groups"] = []string{"newts"} }, api.RefusalNotAllowed, ""},
		"of an allowed domain":             {[]string{"allow: {domains: [POND.test]}"}, nil, "", ""},
		"of no allowed domain":             {[]string{"allow: {domains: [lake.test]}"}, nil, api.RefusalNotAllowed, ""},
		"of a domain that only ends alike": {[]string{"allow: {domains: [ond.test]}"}, nil, api.RefusalNotAllowed, ""},
		"an allowed address":               {[]string{"allow: {domains: [lake.test], addresses: [mina@pond.test]}"}, nil, "", ""},
		"an address that is not verified":  {nil, func(c jwt.MapClaims) { c["email_verified"] = false }, api.RefusalEmailUnverified, ""},
		"nothing said of the address":      {nil, func(c jwt.MapClaims) { delete(c, "email_verified") }, api.RefusalEmailUnverified, ""},
		"nothing said, and the setting":    {[]string{"trust_email: true"}, func(c jwt.MapClaims) { delete(c, "email_verified") }, "", ""},
		"not verified, in spite of it":     {[]string{"trust_email: true"}, func(c jwt.MapClaims) { c["email_verified"] = false }, api.RefusalEmailUnverified, ""},
		"verified as text":                 {nil, func(c jwt.MapClaims) { c["email_verified"] = "true" }, "", ""},
		"no address":                       {nil, func(c jwt.MapClaims) { delete(c, "email") }, api.RefusalEmailMissing, ""},
		"too many groups": {[]string{"allow: {groups: [frogs]}"}, func(c jwt.MapClaims) {
			c["_claim_names"] = map[string]any{"groups": "src1"}
			c["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": "https://graph.test"}}
		}, api.RefusalGroupsOverage, ""},
		"too many groups that nobody needs":  {nil, func(c jwt.MapClaims) { c["hasgroups"] = true }, "", ""},
		"acr that the setting wants":         {[]string{"acr_values: [pwd, mfa]"}, nil, "", ""},
		"acr that the setting does not want": {[]string{"acr_values: [mfa]"}, nil, api.RefusalStepUpFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := federated(t, c.settings...)
			user := mina()
			if c.user != nil {
				c.user(user)
			}
			f.Is(user)
			if c.refused != "" {
				f.mustRefuse(c.refused, nil)
				return
			}
			if got := f.mustSignIn(nil); strings.Join(got.Token.Roles, " ") != c.roles || strings.Join(got.User.Roles, " ") != c.roles {
				t.Errorf("roles %q, want %q", got.Token.Roles, c.roles)
			}
		})
	}
}

func TestAnAccountWithAPasswordIsConnectedByItsOwnerOnly(t *testing.T) {
	f := federated(t)
	owner := f.register("mina@pond.test")
	f.mustRefuse(api.RefusalEmailHasPassword, nil)
	link := func(in *api.NewAuthorization) { in.Link, in.RefreshToken = new(true), &owner.Token.RefreshToken }
	if a := f.begin(func(in *api.NewAuthorization) { in.Link = new(true) }); a.status != http.StatusBadRequest {
		t.Errorf("link without a session: status %d, want 400: %s", a.status, a.body)
	}
	if got := f.mustSignIn(link); got.User.Sub != owner.User.Sub {
		t.Errorf("connected to %s, want %s", got.User.Sub, owner.User.Sub)
	}
	if got := f.mustSignIn(nil); got.User.Sub != owner.User.Sub {
		t.Errorf("signed in as %s, want %s", got.User.Sub, owner.User.Sub)
	}
	other := f.register("fred@pond.test")
	f.mustRefuse(api.RefusalStepUpFailed, func(in *api.NewAuthorization) { in.Link, in.RefreshToken = new(true), &other.Token.RefreshToken })
}

func TestStepUpIsCheckedOnReturn(t *testing.T) {
	f := federated(t)
	s := f.mustSignIn(nil)
	stepUp := func(in *api.NewAuthorization) { in.MaxAge, in.RefreshToken = new(0), &s.Token.RefreshToken }
	if to, _ := url.Parse(f.mustBegin(stepUp)); to.Query().Get("max_age") != "0" {
		t.Errorf("authorization URL %v, want max_age=0", to)
	}
	f.mustSignIn(stepUp)
	f.mustSignIn(func(in *api.NewAuthorization) { in.AcrValues, in.RefreshToken = new("mfa pwd"), &s.Token.RefreshToken })
	f.mustRefuse(api.RefusalStepUpFailed, func(in *api.NewAuthorization) { in.AcrValues, in.RefreshToken = new("mfa"), &s.Token.RefreshToken })
	for name, at := range map[string]any{"old auth_time": 1000, "no auth_time": nil} {
		f.Do(providertest.Wrong{Claims: func(c jwt.MapClaims) { c["auth_time"] = at }})
		if out := f.signInWith(stepUp); out.Refusal == nil || out.Refusal.Code != api.RefusalStepUpFailed {
			t.Errorf("%s: %+v, want step_up_failed", name, out)
		}
	}
	f.Do(providertest.Wrong{})
	f.Is(jwt.MapClaims{"sub": "otto", "email": "otto@pond.test", "email_verified": true})
	f.mustRefuse(api.RefusalStepUpFailed, stepUp)
}

// TestTheProvidersSessionBoundsOurs refreshes while a check is due.
func TestTheProvidersSessionBoundsOurs(t *testing.T) {
	down := func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
	_, c := external(t)
	p := providertest.New(t, mina())
	settled, key := settings(t, t.TempDir())
	c.ClientKeysFile, c.SigningKeysFile, c.RingKeysFile = settled.ClientKeysFile, settled.SigningKeysFile, settled.RingKeysFile
	c.ProvidersFile = providersFile(t, t.TempDir(), entry("pond", p, "allow: {groups: [frogs]}"))
	running := start(t, c, key)
	db, err := pgx.Connect(t.Context(), c.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	ended := 0
	for name, c := range map[string]struct {
		change func(p *providertest.Provider)
		ends   bool
	}{
		"the refresh token is refused": {func(p *providertest.Provider) { p.Forget() }, true},
		"another sub": {func(p *providertest.Provider) {
			p.Do(providertest.Wrong{Refreshed: func(c jwt.MapClaims) { c["sub"] = "otto" }})
		}, true},
		"out of the group":     {func(p *providertest.Provider) { p.Is(jwt.MapClaims{"sub": "mina-1", "groups": []string{"newts"}}) }, true},
		"all is well":          {func(*providertest.Provider) {}, false},
		"the provider is down": {func(p *providertest.Provider) { p.Do(providertest.Wrong{Token: down}) }, false},
		"no id_token": {func(p *providertest.Provider) {
			p.Do(providertest.Wrong{Answer: func(a map[string]any) { delete(a, "id_token") }})
		}, false},
		"no new refresh token": {func(p *providertest.Provider) {
			p.Do(providertest.Wrong{Answer: func(a map[string]any) { delete(a, "refresh_token") }})
		}, false},
		"an id_token of another issuer": {func(p *providertest.Provider) {
			p.Do(providertest.Wrong{Refreshed: func(c jwt.MapClaims) { c["iss"] = "https://evil.test" }})
		}, false},
		"the client secret was replaced": {func(p *providertest.Provider) {
			p.Do(providertest.Wrong{Token: func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
				return true
			}})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := federation{&service{t: t, url: running.url, issuer: running.issuer, key: running.key, router: running.router, logs: running.logs}, p}
			f.Do(providertest.Wrong{})
			user := mina()
			user["groups"] = []string{"frogs"}
			f.Is(user)
			s := f.mustSignIn(nil)
			if tag, err := db.Exec(t.Context(), "UPDATE provider_sessions SET check_at = now() WHERE family = $1 AND check_at > now()", s.Token.Sid); err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("make a check due: %v, %v", tag, err)
			}
			before := f.Requests("/token")
			c.change(f.Provider)
			a := f.refresh("app", s.Token.RefreshToken)
			if f.Requests("/token") != before+1 {
				t.Errorf("%d calls of the provider, want 1", f.Requests("/token")-before)
			}
			if !c.ends {
				if a.status != http.StatusOK {
					t.Errorf("refresh: status %d, want 200: %s", a.status, a.body)
				}
				return
			}
			got := decode[api.OAuthError](t, a.body)
			if a.status != http.StatusBadRequest || got.Reason == nil || *got.Reason != api.EndProvider {
				t.Errorf("refresh: status %d, want 400 with reason provider: %s", a.status, a.body)
			}
			f.mustRefuseEverywhere(s.Token, s.Token.Sid)
			ended++
			if n := ends(f.service, api.EndProvider); n != ended {
				t.Errorf("%d audit events session.ended, want %d", n, ended)
			}
		})
	}
}

func TestBackchannelLogoutEndsTheSessions(t *testing.T) {
	f := federated(t)
	logout := func(provider, token string) answer {
		return f.form("/auth/backchannel-logout/"+provider, url.Values{"logout_token": {token}}, true)
	}
	s := f.mustSignIn(nil)
	for name, change := range map[string]func(c jwt.MapClaims, h map[string]any){
		"wrong iss":     func(c jwt.MapClaims, _ map[string]any) { c["iss"] = "https://evil.test" },
		"wrong aud":     func(c jwt.MapClaims, _ map[string]any) { c["aud"] = "else" },
		"no iat":        func(c jwt.MapClaims, _ map[string]any) { c["iat"] = nil },
		"old iat":       func(c jwt.MapClaims, _ map[string]any) { c["iat"] = 1000 },
		"expired":       func(c jwt.MapClaims, _ map[string]any) { c["exp"] = 1000 },
		"no jti":        func(c jwt.MapClaims, _ map[string]any) { c["jti"] = nil },
		"no event":      func(c jwt.MapClaims, _ map[string]any) { c["events"] = nil },
		"another event": func(c jwt.MapClaims, _ map[string]any) { c["events"] = map[string]any{"x": map[string]any{}} },
		"event no object": func(c jwt.MapClaims, _ map[string]any) {
			c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": "x"}
		},
		"a nonce":        func(c jwt.MapClaims, _ map[string]any) { c["nonce"] = "n" },
		"no sub, no sid": func(c jwt.MapClaims, _ map[string]any) { c["sub"] = nil },
		"another typ":    func(_ jwt.MapClaims, h map[string]any) { h["typ"] = "at+jwt" },
	} {
		a := logout("pond", f.LogoutToken(change))
		if a.status != http.StatusBadRequest || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, want 400 that is not stored: %s", name, a.status, a.body)
		}
	}
	unsigned := f.SignedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"iss": f.URL, "aud": providertest.Client, "sub": "mina-1", "jti": "1"})
	for name, token := range map[string]string{"alg none": unsigned, "nothing": "", "nonsense": "a.b.c"} {
		if a := logout("pond", token); a.status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400: %s", name, a.status, a.body)
		}
	}
	f.mustRefresh(s.Token.RefreshToken)
	if a := logout("nobody", f.LogoutToken(nil)); a.status != http.StatusNotFound {
		t.Errorf("unknown provider: status %d, want 404: %s", a.status, a.body)
	}
	token := f.LogoutToken(nil)
	if a := logout("pond", token); a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("logout: status %d, want 200 that is not stored: %s", a.status, a.body)
	}
	f.mustRefuseEverywhere(s.Token, s.Token.Sid)
	again := f.mustSignIn(nil)
	if a := logout("pond", token); a.status != http.StatusBadRequest {
		t.Errorf("the same logout token again: status %d, want 400: %s", a.status, a.body)
	}
	f.mustRefresh(again.Token.RefreshToken)
	bySID := f.LogoutToken(func(c jwt.MapClaims, _ map[string]any) { c["sub"], c["sid"] = nil, "provider-session" })
	if a := logout("pond", bySID); a.status != http.StatusOK {
		t.Errorf("logout by sid: status %d, want 200: %s", a.status, a.body)
	}
	f.mustRefuseEverywhere(again.Token, again.Token.Sid)
}
