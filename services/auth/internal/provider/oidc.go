package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"

	"lilypad.example/services/auth/internal/signin"
)

const (
	// discoverEvery is how long a discovery document is used. If a newer one cannot be had, the old
	// one goes on.
	discoverEvery = time.Hour
	// retryEvery is how long a provider that did not answer is not asked for its discovery document
	// again.
	retryEvery = 5 * time.Second
	// leeway is how far the provider's clock may be ahead of ours.
	leeway = time.Minute
	// maxAge is how long before it arrives an ID token or a logout token may have been issued.
	maxAge = 10 * time.Minute
	// maxSubject limits sub (OpenID Connect Core section 2), and maxGroups the groups of a user.
	maxSubject = 255
	maxGroups  = 2000
)

// algorithms are those that ID tokens and logout tokens may be signed with: asymmetric ones. With a
// symmetric algorithm everybody who knows the client secret could sign.
var algorithms = []string{ //nolint:gochecknoglobals // a constant
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// An OIDC is a signin.Client for an OpenID Connect provider with discovery.
type OIDC struct {
	issuer     string
	local      bool // the issuer is on loopback
	credential credential
	scopes     []string
	resource   string
	acrValues  []string
	prompt     string
	uiLocales  string
	groups     string // the name of the claim
	needGroups bool
	trustEmail bool
	client     *http.Client
	now        func() time.Time

	down   atomic.Bool
	mu     sync.Mutex
	found  *discovered
	at     time.Time // of the last attempt
	failed error     // the last attempt's
}

var _ signin.Client = (*OIDC)(nil)

// metadata is what we use of a discovery document, besides what package oidc reads.
type metadata struct {
	Authorization  string   `json:"authorization_endpoint"`
	Token          string   `json:"token_endpoint"`
	JWKS           string   `json:"jwks_uri"`
	UserInfo       string   `json:"userinfo_endpoint"`
	EndSession     string   `json:"end_session_endpoint"`
	PAR            string   `json:"pushed_authorization_request_endpoint"`
	SendsIssuer    bool     `json:"authorization_response_iss_parameter_supported"`
	AuthMethods    []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	Algorithms     []string `json:"id_token_signing_alg_values_supported"`
}

// discovered is a provider whose discovery document was read.
type discovered struct {
	metadata

	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	at       time.Time
}

// discover returns the provider's metadata. It fails with ErrProviderUnavailable or a Fault.
func (o *OIDC) discover(ctx context.Context) (*discovered, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	switch {
	case o.found != nil && now.Sub(o.found.at) < discoverEvery:
		return o.found, nil
	case now.Sub(o.at) < retryEvery && o.failed != nil:
		if o.found != nil {
			return o.found, nil
		}
		return nil, o.failed
	}
	o.at = now
	// Others wait for the result, so it does not depend on this caller.
	d, err := o.fetch(context.WithoutCancel(ctx))
	o.failed = err
	o.down.Store(err != nil && o.found == nil)
	if err == nil {
		d.at, o.found = now, d
	}
	if o.found == nil {
		return nil, err
	}
	return o.found, nil
}

func (o *OIDC) fetch(ctx context.Context) (*discovered, error) {
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.issuer)
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return nil, &signin.Fault{Setting: "issuer", Err: mismatch}
	}
	if err != nil {
		return nil, unavailable("discovery", errors.New(cut(err.Error())))
	}
	d := &discovered{provider: p}
	if err := p.Claims(&d.metadata); err != nil {
		return nil, &signin.Fault{Setting: "issuer", Err: errors.New("the discovery document is not valid")}
	}
	for _, e := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", d.Authorization, true},
		{"token_endpoint", d.Token, true},
		{"jwks_uri", d.JWKS, true},
		{"userinfo_endpoint", d.UserInfo, false},
		{"end_session_endpoint", d.EndSession, false},
		{"pushed_authorization_request_endpoint", d.PAR, false},
	} {
		if !e.required && e.url == "" {
			continue
		}
		if err := checkURL(e.url, o.local); err != nil {
			return nil, &signin.Fault{Setting: "issuer", Err: fmt.Errorf("%s of the discovery document, %.200q: %w", e.name, e.url, err)}
		}
	}
	accepted := algorithms
	if len(d.Algorithms) > 0 {
		accepted = slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return !slices.Contains(d.Algorithms, a) })
		if len(accepted) == 0 {
			return nil, &signin.Fault{Setting: "issuer", Err: fmt.Errorf("the provider signs ID tokens with %.200q only; want one of %q", d.Algorithms, algorithms)}
		}
	}
	keys := *o.client
	keys.Transport = seldom{o.client.Transport, rate.NewLimiter(rate.Every(2*time.Second), 10)}
	// The key set outlives this call.
	remote := oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), &keys), d.JWKS)
	d.verifier = oidc.NewVerifier(o.issuer, keySet{remote}, &oidc.Config{ClientID: o.credential.clientID, SupportedSigningAlgs: accepted, Now: o.now})
	return d, nil
}

// keySet marks errors of fetching the keys, which package oidc does not tell from wrong signatures.
type keySet struct{ remote oidc.KeySet }

type fetchFailed struct{}

// VerifySignature implements oidc.KeySet.
func (k keySet) VerifySignature(ctx context.Context, text string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, text)
	if to, ok := ctx.Value(fetchFailed{}).(*error); ok && errors.Unwrap(err) != nil {
		*to = err
	}
	return payload, err //nolint:wrapcheck // only package oidc sees it
}

// verifying returns a context for a verification, and a function that turns its error into
// ErrProviderUnavailable if the keys could not be fetched.
func verifying(ctx context.Context) (context.Context, func(error) error) {
	var fetch error
	return context.WithValue(ctx, fetchFailed{}, &fetch), func(err error) error {
		if err != nil && fetch != nil {
			return unavailable("keys", errors.New(cut(fetch.Error())))
		}
		return err
	}
}

// cut bounds a text for the log.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 300)], "") }

// Down implements signin.Client.
func (o *OIDC) Down() bool { return o.down.Load() }

// Probe asks for the discovery document, if it is not known or old.
func (o *OIDC) Probe(ctx context.Context) error {
	_, err := o.discover(ctx)
	return err
}

// ACRValues implements signin.Client.
func (o *OIDC) ACRValues() []string { return o.acrValues }

// AuthorizationURL implements signin.Client. Where the provider takes pushed authorization requests
// (RFC 9126), the URL has no parameter that the browser could change.
func (o *OIDC) AuthorizationURL(ctx context.Context, r signin.Request) (string, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return "", err
	}
	params := url.Values{
		"response_type": {"code"}, "client_id": {o.credential.clientID}, "redirect_uri": {r.RedirectURI}, "scope": {strings.Join(o.scopes, " ")},
		"state": {r.State}, "nonce": {r.Nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(r.Verifier)}, "code_challenge_method": {"S256"},
	}
	for name, value := range map[string]string{
		"prompt": or(r.Prompt, o.prompt), "ui_locales": or(r.UILocales, o.uiLocales), "login_hint": r.LoginHint,
		"acr_values": strings.Join(r.ACRValues, " "), "resource": o.resource,
	} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if r.MaxAge != nil {
		params.Set("max_age", fmt.Sprint(*r.MaxAge))
	}
	if d.PAR != "" {
		header := http.Header{}
		if err := o.credential.apply(d.PAR, params, header, d.AuthMethods, d.AuthAlgorithms); err != nil {
			return "", &signin.Fault{Setting: o.credential.setting(), Err: err}
		}
		answer, err := post(ctx, o.client, "pushed authorization request", d.PAR, params, header)
		if err == nil && answer.RequestURI == "" {
			err = errors.New("the answer to a pushed authorization request has no request_uri")
		}
		if err != nil {
			return "", faultOf(err, &o.credential)
		}
		params = url.Values{"client_id": {o.credential.clientID}, "request_uri": {answer.RequestURI}}
	}
	return withQuery(d.Authorization, params), nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// withQuery adds params to a URL that may have a query already.
func withQuery(to string, params url.Values) string {
	if strings.Contains(to, "?") {
		return to + "&" + params.Encode()
	}
	return to + "?" + params.Encode()
}

// Redeem implements signin.Client.
func (o *OIDC) Redeem(ctx context.Context, r signin.Request, response url.Values) (signin.Answer, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return signin.Answer{}, err
	}
	// RFC 9207 section 2.4: a response of another issuer must not get as far as the code.
	if iss := response.Get("iss"); iss != o.issuer && (iss != "" || d.SendsIssuer) {
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: fmt.Errorf("the response has iss %.200q, want %q (RFC 9207)", iss, o.issuer)}
	}
	switch {
	case response.Get("error") != "":
		return signin.Answer{}, responseFault(response)
	case response.Get("code") == "":
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: errors.New("the response has neither code nor error")}
	}
	answer, err := o.exchange(ctx, d, url.Values{
		"grant_type": {"authorization_code"}, "code": {response.Get("code")}, "redirect_uri": {r.RedirectURI}, "code_verifier": {r.Verifier},
	})
	if err != nil {
		return signin.Answer{}, faultOf(err, &o.credential)
	}
	if answer.IDToken == "" {
		return signin.Answer{}, &signin.Fault{Setting: "scopes", Err: errors.New("the token endpoint answered without id_token")}
	}
	c, err := o.verify(ctx, d, answer.IDToken, answer.AccessToken)
	if err != nil {
		return signin.Answer{}, err
	}
	if c.Nonce != r.Nonce {
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: errors.New("the ID token has another nonce")}
	}
	if d.UserInfo != "" && (c.Email == "" || o.needGroups && !c.groupsKnown && !c.overage()) {
		if err := o.userInfo(ctx, d, answer.AccessToken, c); err != nil {
			return signin.Answer{}, err
		}
	}
	return c.answer(answer.tokens(o.now()), o.trustEmail), nil
}

// exchange calls the token endpoint.
func (o *OIDC) exchange(ctx context.Context, d *discovered, params url.Values) (*tokenAnswer, error) {
	header := http.Header{}
	if o.resource != "" {
		params.Set("resource", o.resource)
	}
	if err := o.credential.apply(d.Token, params, header, d.AuthMethods, d.AuthAlgorithms); err != nil {
		return nil, err
	}
	return post(ctx, o.client, "token", d.Token, params, header)
}

// claims are those of an ID token or of the UserInfo endpoint.
type claims struct {
	Subject       string         `json:"sub"`
	Audience      audience       `json:"aud"`
	Authorized    string         `json:"azp"`
	Nonce         string         `json:"nonce"`
	IssuedAt      json.Number    `json:"iat"`
	AuthTime      json.Number    `json:"auth_time"`
	ACR           string         `json:"acr"`
	SID           string         `json:"sid"`
	Email         string         `json:"email"`
	EmailVerified any            `json:"email_verified"`
	Name          string         `json:"name"`
	Preferred     string         `json:"preferred_username"`
	ClaimNames    map[string]any `json:"_claim_names"`
	HasGroups     any            `json:"hasgroups"`

	groupsClaim string
	groups      []string
	groupsKnown bool
}

type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a)) //nolint:wrapcheck // the decoder wraps it
}

// overage reports whether the provider left the groups out because there are too many: Entra ID
// points to another place instead.
func (c *claims) overage() bool {
	_, elsewhere := c.ClaimNames[c.groupsClaim]
	return elsewhere || c.HasGroups == true || c.HasGroups == "true"
}

// answer returns what c says. With trustEmail an address is verified unless the provider says that
// it is not.
func (c *claims) answer(t signin.Tokens, trustEmail bool) signin.Answer {
	a := signin.Answer{
		Subject: c.Subject, Email: c.Email, Name: or(c.Name, c.Preferred), Groups: c.groups, GroupsKnown: c.groupsKnown,
		Overage: !c.groupsKnown && c.overage(), ACR: c.ACR, SID: c.SID, Tokens: t, CanCheck: t.Refresh != "",
	}
	// Some providers write the boolean as text, and some do not say.
	a.EmailVerified = c.EmailVerified == true || c.EmailVerified == "true" || c.EmailVerified == nil && trustEmail
	if at, ok := seconds(c.AuthTime); ok {
		a.AuthTime = at
	}
	return a
}

// seconds returns a date of a JWT.
func seconds(n json.Number) (time.Time, bool) {
	at, err := n.Float64()
	if err != nil || at <= 0 || at > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(at), 0), true
}

// verify verifies an ID token (OpenID Connect Core section 3.1.3.7), except for its nonce.
func (o *OIDC) verify(ctx context.Context, d *discovered, text, access string) (*claims, error) {
	ctx, failed := verifying(ctx)
	t, err := d.verifier.Verify(ctx, text)
	if err != nil {
		setting := "issuer"
		if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
			setting = "the clock of this machine or of the provider"
		} else if strings.Contains(err.Error(), "audience") {
			setting = "client_id"
		}
		if err = failed(err); errors.Is(err, signin.ErrProviderUnavailable) {
			return nil, err
		}
		return nil, &signin.Fault{Setting: setting, Err: errors.New(cut(err.Error()))}
	}
	fault := func(setting, format string, values ...any) (*claims, error) {
		return nil, &signin.Fault{Setting: setting, Err: fmt.Errorf("ID token: "+format, values...)}
	}
	c, err := o.claimsOf(t.Claims)
	if err != nil {
		return fault("issuer", "%w", err)
	}
	issued, ok := seconds(c.IssuedAt)
	switch now := o.now(); {
	case !ok:
		return fault("issuer", "iat is missing")
	case issued.After(now.Add(leeway)), issued.Before(now.Add(-maxAge)):
		return fault("the clock of this machine or of the provider", "iat is %v, and it is %v here", issued, now)
	case c.Subject == "" || len(c.Subject) > maxSubject:
		return fault("issuer", "sub is missing or too long")
	case len(c.Audience) > 1 && c.Authorized == "", c.Authorized != "" && c.Authorized != o.credential.clientID:
		return fault("client_id", "azp is %.100q, want %q", c.Authorized, o.credential.clientID)
	}
	if t.AccessTokenHash != "" && access != "" {
		if err := t.VerifyAccessToken(access); err != nil {
			return fault("issuer", "at_hash does not match the access token")
		}
	}
	return c, nil
}

// claimsOf decodes claims, the groups among them.
func (o *OIDC) claimsOf(decode func(any) error) (*claims, error) {
	c := &claims{groupsClaim: o.groups}
	var all map[string]json.RawMessage
	if err := errors.Join(decode(c), decode(&all)); err != nil {
		return nil, fmt.Errorf("claims: %s", cut(err.Error()))
	}
	text, ok := all[o.groups]
	if !ok {
		return c, nil
	}
	var one string
	if json.Unmarshal(text, &one) == nil {
		c.groups = []string{one}
	} else if err := json.Unmarshal(text, &c.groups); err != nil {
		return nil, fmt.Errorf("the claim %q is not a list of groups", o.groups)
	}
	if len(c.groups) > maxGroups {
		return nil, fmt.Errorf("the claim %q has more than %d groups", o.groups, maxGroups)
	}
	c.groupsKnown = true
	return c, nil
}

// userInfo adds claims of the UserInfo endpoint to c.
func (o *OIDC) userInfo(ctx context.Context, d *discovered, access string, c *claims) error {
	ctx, failed := verifying(oidc.ClientContext(ctx, o.client))
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: access}))
	if err != nil {
		if err := failed(err); errors.Is(err, signin.ErrProviderUnavailable) {
			return err
		}
		return unavailable("userinfo", errors.New(cut(err.Error())))
	}
	if info.Subject != c.Subject { // OpenID Connect Core section 5.3.2
		return &signin.Fault{Setting: "issuer", Err: errors.New("the UserInfo endpoint answered for another sub than the ID token")}
	}
	more, err := o.claimsOf(info.Claims)
	if err != nil {
		return &signin.Fault{Setting: "issuer", Err: err}
	}
	if c.Email == "" {
		c.Email, c.EmailVerified = more.Email, more.EmailVerified
	}
	c.Name, c.Preferred = or(c.Name, more.Name), or(c.Preferred, more.Preferred)
	if !c.groupsKnown {
		c.groups, c.groupsKnown = more.groups, more.groupsKnown
	}
	return nil
}

// Check implements signin.Client by a refresh at the provider (OpenID Connect Core section 12).
func (o *OIDC) Check(ctx context.Context, t signin.Tokens) (signin.Answer, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return signin.Answer{}, err
	}
	answer, err := o.exchange(ctx, d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}})
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.code == "invalid_grant" {
		return signin.Answer{}, fmt.Errorf("%w: %w", signin.ErrOver, err)
	}
	if err != nil {
		return signin.Answer{}, faultOf(err, &o.credential)
	}
	if answer.IDToken == "" {
		return signin.Answer{Tokens: answer.tokens(o.now()), CanCheck: true}, nil
	}
	// The refresh token may have been replaced, and that counts, whatever the ID token is like.
	kept := signin.Answer{Tokens: answer.tokens(o.now()), CanCheck: true}
	kept.Tokens.ID = ""
	c, err := o.verify(ctx, d, answer.IDToken, answer.AccessToken)
	if err != nil {
		return kept, nil //nolint:nilerr // an invalid ID token says nothing
	}
	return c.answer(answer.tokens(o.now()), o.trustEmail), nil
}

// LogoutURL implements signin.Client (OpenID Connect RP-Initiated Logout 1.0).
func (o *OIDC) LogoutURL(ctx context.Context, idToken, returnTo string) string {
	d, err := o.discover(ctx)
	if err != nil || d.EndSession == "" {
		return ""
	}
	params := url.Values{"client_id": {o.credential.clientID}, "post_logout_redirect_uri": {returnTo}}
	if idToken != "" {
		params.Set("id_token_hint", idToken)
	}
	return withQuery(d.EndSession, params)
}

// VerifyLogout implements signin.Client.
func (o *OIDC) VerifyLogout(ctx context.Context, token string) (signin.Logout, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return signin.Logout{}, err
	}
	refused := func(reason string) (signin.Logout, error) {
		return signin.Logout{}, fmt.Errorf("%w: %s", signin.ErrLogoutToken, cut(reason))
	}
	if !logoutType(token) {
		return refused("typ is not logout+jwt")
	}
	ctx, failed := verifying(ctx)
	t, err := d.verifier.VerifyLogout(ctx, token)
	if err = failed(err); errors.Is(err, signin.ErrProviderUnavailable) {
		return signin.Logout{}, err
	}
	if err != nil {
		return refused(err.Error())
	}
	var event struct {
		Events map[string]map[string]any `json:"events"`
	}
	switch now := o.now(); {
	case t.Claims(&event) != nil || event.Events["http://schemas.openid.net/event/backchannel-logout"] == nil:
		return refused("events has no back-channel logout")
	case t.IssuedAt.IsZero() || t.IssuedAt.After(now.Add(leeway)) || t.IssuedAt.Before(now.Add(-maxAge)):
		return refused("iat is missing, too old, or in the future")
	case t.Subject == "" && t.SessionID == "":
		return refused("sub and sid are missing")
	case len(t.TokenID) > maxSubject || t.TokenID == "":
		return refused("jti is missing or too long")
	}
	return signin.Logout{Subject: t.Subject, SID: t.SessionID, ID: t.TokenID, Expires: t.IssuedAt.Add(maxAge + leeway)}, nil
}

// logoutType reports whether the header of a JWT has no type, JWT, or that of a logout token.
func logoutType(token string) bool {
	head, _, _ := strings.Cut(token, ".")
	var header struct {
		Type string `json:"typ"`
	}
	return decodePart(head, &header) == nil && slices.Contains([]string{"", "jwt", "logout+jwt"}, strings.ToLower(strings.TrimPrefix(strings.ToLower(header.Type), "application/")))
}

// decodePart decodes a part of a JWT that is not verified.
func decodePart(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err //nolint:wrapcheck // only whether there is one counts
	}
	return json.Unmarshal(text, into) //nolint:wrapcheck // as above
}
