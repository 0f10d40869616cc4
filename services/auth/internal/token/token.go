// Package token issues access tokens (RFC 9068) for session grants. A token identifies the user by
// subject only and contains no personal data.
package token

import (
	"crypto/rand"
	"fmt"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/authn"
)

// An Issuer issues access tokens.
type Issuer struct {
	name     string
	audience []string
	life     time.Duration
	keys     func() *signer.Keys
	now      func() time.Time
}

// claims are the claims that package authn verifies. Dates are Unix seconds as int64, which encode
// in half the time of jwt.NumericDate.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  []string `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	SessionID string   `json:"sid"`
	Roles     []string `json:"roles"`
	AuthTime  int64    `json:"auth_time"`
	ACR       string   `json:"acr,omitempty"`
}

// NewIssuer returns an Issuer whose tokens have the claims iss name and aud audience, and live for
// life. keys returns the current signing keys, and now is the clock.
func NewIssuer(name string, audience []string, life time.Duration, keys func() *signer.Keys, now func() time.Time) *Issuer {
	return &Issuer{name: name, audience: audience, life: life, keys: keys, now: now}
}

// Access returns an access token for grant and its life. The token expires at the session's
// absolute end at the latest.
func (i *Issuer) Access(grant session.Grant) (text string, life time.Duration, err error) {
	now := i.now()
	life = min(i.life, grant.End.Sub(now))
	text, err = i.keys().Sign(authn.TokenType, claims{
		Issuer: i.name, Subject: grant.Subject, Audience: i.audience, ID: rand.Text(),
		IssuedAt: now.Unix(), ExpiresAt: now.Add(life).Unix(),
		SessionID: string(grant.Family), Roles: Roles(grant), AuthTime: grant.AuthTime.Unix(), ACR: grant.ACR,
	})
	if err != nil {
		return "", 0, fmt.Errorf("access token: %w", err)
	}
	return text, life, nil
}

// Roles returns the claim roles of the access token for grant. It is never nil, so that JSON has no
// null.
func Roles(grant session.Grant) []string {
	if grant.Roles == nil {
		return []string{}
	}
	return grant.Roles
}
