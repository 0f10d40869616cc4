package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"lilypad.example/services/auth/internal/signin"
)

// githubIssuer is the issuer of identities of github.com, which is no OpenID provider.
const githubIssuer = "https://github.com"

// githubPages bounds how many pages of a list are read, of 100 entries each.
const githubPages = 10

// A GitHub is a signin.Client for GitHub, which speaks OAuth only: it has no ID token, does not say
// when or how it asked for credentials, and does not sign users out.
type GitHub struct {
	site, api  string // without a slash at the end
	credential credential
	scopes     []string
	needGroups bool
	client     *http.Client
	now        func() time.Time
	down       atomic.Bool
}

var _ signin.Client = (*GitHub)(nil)

// ACRValues implements signin.Client.
func (g *GitHub) ACRValues() []string { return nil }

// Down implements signin.Client.
func (g *GitHub) Down() bool { return g.down.Load() }

// LogoutURL implements signin.Client.
func (g *GitHub) LogoutURL(context.Context, string, string) string { return "" }

// VerifyLogout implements signin.Client.
func (g *GitHub) VerifyLogout(context.Context, string) (signin.Logout, error) {
	return signin.Logout{}, fmt.Errorf("%w: GitHub sends none", signin.ErrLogoutToken)
}

// AuthorizationURL implements signin.Client.
func (g *GitHub) AuthorizationURL(_ context.Context, r signin.Request) (string, error) {
	if len(r.ACRValues) > 0 || r.MaxAge != nil {
		return "", fmt.Errorf("%w: GitHub does not say when or how it asked for credentials", signin.ErrStepUp)
	}
	params := url.Values{
		"client_id": {g.credential.clientID}, "redirect_uri": {r.RedirectURI}, "scope": {strings.Join(g.scopes, " ")}, "state": {r.State},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(r.Verifier)}, "code_challenge_method": {"S256"},
	}
	if r.LoginHint != "" {
		params.Set("login", r.LoginHint)
	}
	if r.Prompt == "select_account" {
		params.Set("prompt", r.Prompt)
	}
	return g.site + "/login/oauth/authorize?" + params.Encode(), nil
}

// Redeem implements signin.Client.
func (g *GitHub) Redeem(ctx context.Context, r signin.Request, response url.Values) (signin.Answer, error) {
	if iss := response.Get("iss"); iss != "" && iss != g.site && iss != g.site+"/login/oauth" {
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: fmt.Errorf("the response has iss %.200q, want %q (RFC 9207)", iss, g.site)}
	}
	switch {
	case response.Get("error") != "":
		return signin.Answer{}, responseFault(response)
	case response.Get("code") == "":
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: errors.New("the response has neither code nor error")}
	}
	answer, err := g.exchange(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {response.Get("code")}, "redirect_uri": {r.RedirectURI}, "code_verifier": {r.Verifier},
	})
	if err != nil {
		return signin.Answer{}, faultOf(err, &g.credential)
	}
	if answer.AccessToken == "" {
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: errors.New("the token endpoint answered without access_token")}
	}
	a, err := g.who(ctx, answer.AccessToken)
	if errors.Is(err, signin.ErrOver) {
		err = &signin.Fault{Setting: "scopes", Err: err}
	}
	if err != nil {
		return signin.Answer{}, err
	}
	a.Tokens = answer.tokens(g.now())
	return a, nil
}

func (g *GitHub) exchange(ctx context.Context, params url.Values) (*tokenAnswer, error) {
	header := http.Header{}
	if err := g.credential.apply(g.site, params, header, []string{"client_secret_post"}, nil); err != nil {
		return nil, err
	}
	answer, err := post(ctx, g.client, "token", g.site+"/login/oauth/access_token", params, header)
	g.down.Store(errors.Is(err, signin.ErrProviderUnavailable))
	return answer, err
}

// who returns whose access token it is. It fails with signin.ErrOver if GitHub does not accept the
// token any more.
func (g *GitHub) who(ctx context.Context, access string) (signin.Answer, error) {
	var u struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Name  string `json:"name"`
	}
	if _, err := g.get(ctx, access, g.api+"/user", &u); err != nil {
		return signin.Answer{}, err
	}
	if u.ID <= 0 {
		return signin.Answer{}, &signin.Fault{Setting: "issuer", Err: errors.New("GitHub named no user")}
	}
	a := signin.Answer{Subject: strconv.FormatInt(u.ID, 10), Name: or(u.Name, u.Login), CanCheck: true}
	var emails []struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	if _, err := g.get(ctx, access, g.api+"/user/emails?per_page=100", &emails); err != nil {
		return signin.Answer{}, err
	}
	for _, e := range emails {
		if e.Primary {
			a.Email, a.EmailVerified = e.Email, e.Verified
		}
	}
	if !g.needGroups {
		return a, nil
	}
	groups, err := g.groups(ctx, access)
	a.Groups, a.GroupsKnown = groups, err == nil
	return a, err
}

// groups returns the organizations of the user as ORG, and the teams as ORG/TEAM.
func (g *GitHub) groups(ctx context.Context, access string) ([]string, error) {
	groups := []string{}
	for page, next := 0, g.api+"/user/orgs?per_page=100"; next != "" && page < githubPages; page++ {
		var orgs []struct {
			Login string `json:"login"`
		}
		var err error
		if next, err = g.get(ctx, access, next, &orgs); err != nil {
			return nil, err
		}
		for _, o := range orgs {
			groups = append(groups, o.Login)
		}
	}
	for page, next := 0, g.api+"/user/teams?per_page=100"; next != "" && page < githubPages; page++ {
		var teams []struct {
			Slug         string `json:"slug"`
			Organization struct {
				Login string `json:"login"`
			} `json:"organization"`
		}
		var err error
		if next, err = g.get(ctx, access, next, &teams); err != nil {
			return nil, err
		}
		for _, t := range teams {
			groups = append(groups, t.Organization.Login+"/"+t.Slug)
		}
	}
	return groups, nil
}

// get reads one page of the API and returns the address of the next one, or "".
func (g *GitHub) get(ctx context.Context, access, address string, into any) (next string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the URL
	}
	r.Header.Set("Authorization", "Bearer "+access)
	r.Header.Set("Accept", "application/vnd.github+json")
	status, header, body, err := read(g.client, "api", r)
	g.down.Store(err != nil)
	switch {
	case err != nil:
		return "", err
	case status == http.StatusUnauthorized:
		return "", fmt.Errorf("%w: GitHub does not accept the access token any more", signin.ErrOver)
	case status != http.StatusOK:
		// 403 is also a limit of requests, which passes.
		return "", unavailable("api", fmt.Errorf("status %d of %s", status, r.URL.Path))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return "", &signin.Fault{Setting: "issuer", Err: fmt.Errorf("the answer of %s is not valid", r.URL.Path)}
	}
	for link := range strings.SplitSeq(header.Get("Link"), ",") {
		address, rel, _ := strings.Cut(strings.TrimSpace(link), ">")
		// Only the same API gets the token.
		if strings.Contains(rel, `rel="next"`) && strings.HasPrefix(address, "<"+g.api+"/") {
			return address[1:], nil
		}
	}
	return "", nil
}

// Check implements signin.Client: it asks whose the access token is, and before that for a new one
// where access tokens expire.
func (g *GitHub) Check(ctx context.Context, t signin.Tokens) (signin.Answer, error) {
	fresh := signin.Tokens{Access: t.Access, Expires: t.Expires}
	if t.Refresh != "" {
		answer, err := g.exchange(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}})
		if refused, ok := errors.AsType[*refusedError](err); ok && (refused.code == "bad_refresh_token" || refused.code == "invalid_grant") {
			return signin.Answer{}, fmt.Errorf("%w: %w", signin.ErrOver, err)
		}
		if err != nil {
			return signin.Answer{}, faultOf(err, &g.credential)
		}
		fresh = answer.tokens(g.now())
	}
	a, err := g.who(ctx, fresh.Access)
	if err != nil && !errors.Is(err, signin.ErrOver) && t.Refresh != "" {
		return signin.Answer{Tokens: fresh, CanCheck: true}, nil // the new refresh token counts
	}
	a.Tokens = fresh
	return a, err
}
