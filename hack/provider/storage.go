package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

var errUnknown = errors.New("provider: there is no such thing")

// user is a person who can sign in.
type user struct {
	Name, Title string
	Verified    bool // the address is
	Groups      []string
	Disabled    bool
}

// Email returns the user's address.
func (u *user) Email() string { return u.Name + "@pond.example" }

// session is one browser of a user. Its ID is the claim sid.
type session struct {
	id, user, acr string
	at            time.Time // of the sign-in
}

// request is an authorization request, and the session that answers it.
type request struct {
	*oidc.AuthRequest

	id, code string
	session  *session
}

// The methods of op.AuthRequest that oidc.AuthRequest lacks.
func (r *request) GetID() string          { return r.id }
func (r *request) GetACR() string         { return r.session.acr }
func (r *request) GetAMR() []string       { return nil }
func (r *request) GetAudience() []string  { return []string{r.ClientID} }
func (r *request) GetAuthTime() time.Time { return r.session.at }
func (r *request) GetClientID() string    { return r.ClientID }
func (r *request) GetNonce() string       { return r.Nonce }
func (r *request) GetScopes() []string    { return r.Scopes }
func (r *request) GetSubject() string     { return r.session.user }
func (r *request) Done() bool             { return r.session != nil }

// GetCodeChallenge implements op.AuthRequest.
func (r *request) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

// grant is what a refresh token stands for. It implements op.RefreshTokenRequest.
type grant struct {
	session *session
	client  string
	scopes  []string
}

func (g *grant) GetAMR() []string            { return nil }
func (g *grant) GetAudience() []string       { return []string{g.client} }
func (g *grant) GetAuthTime() time.Time      { return g.session.at }
func (g *grant) GetClientID() string         { return g.client }
func (g *grant) GetScopes() []string         { return g.scopes }
func (g *grant) GetSubject() string          { return g.session.user }
func (g *grant) SetCurrentScopes(s []string) { g.scopes = s }

// relyingParty is the only client. It implements op.Client.
type relyingParty struct {
	id, secret               string
	redirectURIs, logoutURIs []string
	backChannel              string
	tokenLife                time.Duration
}

func (c *relyingParty) GetID() string                       { return c.id }
func (c *relyingParty) RedirectURIs() []string              { return c.redirectURIs }
func (c *relyingParty) PostLogoutRedirectURIs() []string    { return c.logoutURIs }
func (c *relyingParty) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c *relyingParty) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c *relyingParty) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *relyingParty) LoginURL(id string) string            { return "/login?id=" + id }
func (c *relyingParty) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c *relyingParty) IDTokenLifetime() time.Duration       { return c.tokenLife }
func (c *relyingParty) DevMode() bool                        { return false }
func (c *relyingParty) IsScopeAllowed(string) bool           { return false }
func (c *relyingParty) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c *relyingParty) ClockSkew() time.Duration             { return 0 }

// GrantTypes implements op.Client.
func (c *relyingParty) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}

// RestrictAdditionalIdTokenScopes implements op.Client.
func (c *relyingParty) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// RestrictAdditionalAccessTokenScopes implements op.Client.
func (c *relyingParty) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// signingKey is the key of ID tokens. It implements op.SigningKey; published is its public half.
type signingKey struct{ key *ecdsa.PrivateKey }

func (signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (signingKey) ID() string                                  { return "pond" }
func (k signingKey) Key() any                                  { return k.key }

type published struct{ signingKey }

func (published) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (published) Use() string                        { return "sig" }
func (k published) Key() any                         { return &k.key.PublicKey }

// storage is everything that the provider remembers. It implements op.Storage.
type storage struct {
	client *relyingParty
	key    signingKey

	mu       sync.Mutex
	users    []*user
	sessions map[string]*session // by ID
	requests map[string]*request // by ID
	grants   map[string]*grant   // by refresh token
}

func newStorage(c *relyingParty) (*storage, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &storage{
		client: c, key: signingKey{key}, sessions: map[string]*session{}, requests: map[string]*request{}, grants: map[string]*grant{},
		users: []*user{
			{Name: "ada", Title: "Ada Newt", Verified: true, Groups: []string{"staff", "keepers"}},
			{Name: "bo", Title: "Bo Toad", Verified: true, Groups: []string{"staff"}},
			{Name: "cy", Title: "Cy Tadpole", Groups: []string{"guests"}},
		},
	}, nil
}

// find returns a user, or nil. s.mu is held.
func (s *storage) find(name string) *user {
	i := slices.IndexFunc(s.users, func(u *user) bool { return u.Name == name })
	if i < 0 {
		return nil
	}
	return s.users[i]
}

// live reports whether a session goes on. s.mu is held.
func (s *storage) live(at *session) bool {
	u := s.find(at.user)
	return s.sessions[at.id] == at && u != nil && !u.Disabled
}

// end ends all sessions that match, and returns them.
func (s *storage) end(match func(*session) bool) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []*session
	for id, at := range s.sessions {
		if match(at) {
			delete(s.sessions, id)
			ended = append(ended, at)
		}
	}
	return ended
}

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	created := &request{AuthRequest: r, id: rand.Text()}
	s.requests[created.id] = created
	return created, nil
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.requests[id]; r != nil {
		return r, nil
	}
	return nil, errUnknown
}

func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.code != "" && r.code == code {
			r.code = "" // good once
			return r, nil
		}
	}
	return nil, errUnknown
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[id] == nil {
		return errUnknown
	}
	s.requests[id].code = code
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return rand.Text(), time.Now().Add(s.client.tokenLife), nil
}

// CreateAccessAndRefreshTokens rotates the refresh token.
func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &grant{client: s.client.id, scopes: r.GetScopes()}
	switch r := r.(type) {
	case *request:
		next.session = r.session
	case *grant:
		next.session = r.session
	default:
		return "", "", time.Time{}, errUnknown
	}
	delete(s.grants, current)
	token := rand.Text()
	s.grants[token] = next
	return rand.Text(), token, time.Now().Add(s.client.tokenLife), nil
}

// TokenRequestByRefreshToken fails if the user has signed out or is disabled.
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[token]
	if g == nil || !s.live(g.session) {
		return nil, op.ErrInvalidRefreshToken
	}
	return g, nil
}

// TerminateSession implements op.AuthStorage.
func (s *storage) TerminateSession(_ context.Context, user, _ string) error {
	s.end(func(at *session) bool { return at.user == user })
	return nil
}

// TerminateSessionFromRequest ends the session of the ID token that the client sent, or nothing.
func (s *storage) TerminateSessionFromRequest(_ context.Context, r *op.EndSessionRequest) (string, error) { //nolint:unparam // the interface has an error
	if r.IDTokenHintClaims != nil {
		sid := r.IDTokenHintClaims.Claims["sid"]
		s.end(func(at *session) bool { return at.id == sid })
	}
	return r.RedirectURI, nil
}

func (s *storage) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.grants, token)
	return nil
}

func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (userID, tokenID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[token]
	if g == nil {
		return "", "", op.ErrInvalidRefreshToken
	}
	return g.session.user, token, nil
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{published{s.key}}, nil }

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.client.id {
		return nil, errUnknown
	}
	return s.client, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != s.client.id || subtle.ConstantTimeCompare([]byte(secret), []byte(s.client.secret)) != 1 {
		return errUnknown
	}
	return nil
}

// SetUserinfoFromScopes is replaced by SetUserinfoFromRequest.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest sets the claims of an ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, _ []string) error {
	var at *session
	switch r := r.(type) {
	case *request:
		at = r.session
	case *grant:
		at = r.session
	default:
		return errUnknown
	}
	info.AppendClaims("sid", at.id)
	return s.describe(info, at.user)
}

func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, _, subject, _ string) error {
	return s.describe(info, subject)
}

func (s *storage) describe(info *oidc.UserInfo, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(name)
	if u == nil || u.Disabled {
		return errUnknown
	}
	info.Subject, info.Name, info.PreferredUsername = u.Name, u.Title, u.Name
	info.GivenName, info.FamilyName, _ = strings.Cut(u.Title, " ")
	info.Email, info.EmailVerified = u.Email(), oidc.Bool(u.Verified)
	info.AppendClaims("groups", u.Groups)
	return nil
}

// What nobody here uses.

func (s *storage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errUnknown
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil //nolint:nilnil // there are none
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnknown
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errUnknown
}

func (s *storage) Health(context.Context) error { return nil }
