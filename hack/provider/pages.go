package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

//go:embed page.gohtml
var source string

// cookieName is the cookie with the ID of the browser's session at the provider.
const cookieName = "pond-provider"

// strong is the authentication context class of a sign-in with a second factor.
const strong = "mfa"

// pages are the pages of the provider.
type pages struct {
	issuer   string
	storage  *storage
	provider op.OpenIDProvider
	page     *template.Template
	log      *slog.Logger
	client   *http.Client // for logout tokens
}

// current returns the session of a browser, or nil. p.storage.mu is held.
func (p *pages) current(r *http.Request) *session {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	at := p.storage.sessions[c.Value]
	if at == nil || !p.storage.live(at) {
		return nil
	}
	return at
}

// home shows everybody, with what an administrator of a provider can do.
func (p *pages) home(w http.ResponseWriter, r *http.Request) {
	s := p.storage
	s.mu.Lock()
	view := map[string]any{"Users": slices.Clone(s.users), "Sessions": len(s.sessions)}
	if at := p.current(r); at != nil {
		view["Current"] = at.user
	}
	s.mu.Unlock()
	p.show(w, view)
}

// login asks who signs in, unless the browser has a session that is good enough.
func (p *pages) login(w http.ResponseWriter, r *http.Request) {
	s := p.storage
	s.mu.Lock()
	asked := s.requests[r.URL.Query().Get("id")]
	if asked == nil {
		s.mu.Unlock()
		http.Error(w, "This sign-in is over. Go back to the application and begin again.", http.StatusNotFound)
		return
	}
	at, age := p.current(r), asked.MaxAge
	again := slices.Contains(asked.Prompt, oidc.PromptLogin) || slices.Contains(asked.Prompt, oidc.PromptSelectAccount)
	switch {
	case at == nil, again, age != nil && time.Since(at.at) > time.Duration(*age)*time.Second: //nolint:gosec // seconds
	case len(asked.ACRValues) > 0 && !slices.Contains(asked.ACRValues, at.acr):
	default:
		asked.session = at
	}
	view := map[string]any{"Users": slices.Clone(s.users), "Request": asked.id, "Hint": asked.LoginHint, "Strong": slices.Contains(asked.ACRValues, strong)}
	done := asked.session != nil || slices.Contains(asked.Prompt, oidc.PromptNone)
	s.mu.Unlock()
	if done {
		p.back(w, r, asked.id)
		return
	}
	p.show(w, view)
}

// back sends the browser back to the client.
func (p *pages) back(w http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(w, r, op.AuthCallbackURL(p.provider)(op.ContextWithIssuer(r.Context(), p.issuer), id), http.StatusSeeOther)
}

// signIn signs a user in, or goes back without.
func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	id, name := r.PostFormValue("id"), r.PostFormValue("user")
	s := p.storage
	s.mu.Lock()
	asked, u := s.requests[id], s.find(name)
	if asked == nil || u == nil || u.Disabled {
		s.mu.Unlock()
		if asked != nil {
			op.AuthRequestError(w, r, asked, oidc.ErrAccessDenied().WithDescription("the person did not sign in"), p.provider)
			return
		}
		http.Error(w, "This sign-in is over. Go back to the application and begin again.", http.StatusNotFound)
		return
	}
	at := &session{id: rand.Text(), user: u.Name, at: time.Now().Truncate(time.Second), acr: "password"}
	if r.PostFormValue("strong") != "" {
		at.acr = strong
	}
	if before := p.current(r); before != nil && before.user == u.Name {
		at.id = before.id // it goes on, more recent or stronger
		for _, g := range s.grants {
			if g.session == before {
				g.session = at
			}
		}
	}
	s.sessions[at.id] = at
	asked.session = at
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: at.id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // plain http on loopback
	p.back(w, r, id)
}

// change does to a user what an administrator of a provider can do.
func (p *pages) change(w http.ResponseWriter, r *http.Request) {
	s, name := p.storage, r.PathValue("name")
	s.mu.Lock()
	u := s.find(name)
	s.mu.Unlock()
	if u == nil {
		http.NotFound(w, r)
		return
	}
	switch r.PostFormValue("action") {
	case "disable", "enable":
		s.mu.Lock()
		u.Disabled = r.PostFormValue("action") == "disable"
		s.mu.Unlock()
	case "end":
		for _, at := range s.end(func(at *session) bool { return at.user == name }) {
			if err := p.tell(r.Context(), at); err != nil {
				p.log.ErrorContext(r.Context(), "back-channel logout failed", "error", err)
				http.Error(w, "The application did not take the logout token: "+err.Error(), http.StatusBadGateway)
				return
			}
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// tell posts a logout token to the client (OpenID Connect Back-Channel Logout 1.0).
func (p *pages) tell(ctx context.Context, at *session) error {
	if p.storage.client.backChannel == "" {
		return nil
	}
	claims, err := json.Marshal(map[string]any{
		"iss": p.issuer, "aud": p.storage.client.id, "sub": at.user, "sid": at.id, "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(2 * time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}},
	})
	if err != nil {
		return err
	}
	key := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.storage.key.key, KeyID: p.storage.key.ID()}}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("logout+jwt"))
	if err != nil {
		return err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return err
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return err
	}
	form := strings.NewReader(url.Values{"logout_token": {token}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.storage.client.backChannel, form)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s answers %s", r.URL, res.Status)
	}
	return nil
}

func (p *pages) show(w http.ResponseWriter, view map[string]any) {
	var body bytes.Buffer
	if err := p.page.Execute(&body, view); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// form-action is left out: browsers apply it to the redirect back to the client, too.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	_, _ = w.Write(body.Bytes())
}
