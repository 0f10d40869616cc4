package authn

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/pkg/revocation"
)

const (
	// Leeway is how far the clocks of issuer and verifier may differ.
	Leeway = 30 * time.Second
	// MaxLife limits the lifetime of an access token, from iat to exp.
	MaxLife = 10 * time.Minute
	// maxToken limits a token to 4096 bytes, so that refusing a longer one is cheap. The issuer's
	// tokens are far shorter.
	maxToken = 4096
	// TokenType is the typ header of an access token (RFC 9068 section 2.1). It keeps other tokens
	// of the issuer from being accepted as access tokens.
	TokenType = "at+jwt"
)

// Config defines which tokens a Verifier accepts.
type Config struct {
	// JWKSURL is where the issuer publishes its keys. It is the only source of keys: the headers
	// jku, jwk and x5u of a token are ignored.
	JWKSURL  string
	Issuer   string
	Audience string
	// Client fetches the keys. If nil, a client with a timeout of 5 s is used.
	Client *http.Client
	// Revocations knows the ended sessions, whose tokens are refused. If nil, a token is valid
	// until it expires.
	Revocations Revocations
}

// Revocations knows which sessions ended recently; see revocation.Follower.
type Revocations interface {
	// Revoked reports whether the session has ended, and why. It answers from memory.
	Revoked(sessionID string) (reason string, ok bool)
}

// A Verifier checks access tokens against the issuer's published keys.
type Verifier struct {
	keys        *keySet
	parser      *jwt.Parser
	revocations Revocations
}

// NewVerifier returns a Verifier that refreshes its keys until ctx ends. It does not wait for the
// first keys, so that a service can start while its issuer is down.
func NewVerifier(ctx context.Context, c Config) *Verifier {
	v := &Verifier{
		keys:        newKeySet(c.JWKSURL, c.Client),
		revocations: c.Revocations,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithIssuer(c.Issuer),
			jwt.WithAudience(c.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(Leeway),
			jwt.WithStrictDecoding(),
		),
	}
	go v.keys.refreshLoop(ctx)
	return v
}

// This compiles only if revocations are kept for longer than any access token is accepted.
const _ = uint(revocation.Remember - MaxLife - 2*Leeway)

// ForService returns a Verifier of the access tokens that the auth service at authURL issues for
// audience, and the Follower that tells it which sessions have ended. Both run until ctx ends. An
// empty issuer means authURL.
func ForService(ctx context.Context, authURL, issuer, audience string) (*Verifier, *revocation.Follower) {
	base := strings.TrimRight(authURL, "/")
	feed := revocation.NewFollower(ctx, base+"/v1/revocations", nil, nil)
	return NewVerifier(ctx, Config{
		JWKSURL: base + "/.well-known/jwks.json", Issuer: cmp.Or(issuer, authURL), Audience: audience, Revocations: feed,
	}), feed
}

// Verify returns the principal of token. It fails with ErrInvalid or, if no keys have ever been
// fetched, with ErrUnavailable. It makes no network call unless the key ID of the token is unknown,
// and then at most one in 30 s for all callers.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxToken)
	}
	if strings.ContainsAny(token, "\r\n") { // encoding/base64 skips them
		return Principal{}, fmt.Errorf("%w: line break", ErrInvalid)
	}
	var keyErr error
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		key, err := v.key(ctx, t)
		keyErr = err
		return key, err
	})
	if keyErr != nil {
		return Principal{}, keyErr
	}
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if v.revoked(c.SessionID) {
		return Principal{}, fmt.Errorf("%w: its session has ended", ErrInvalid)
	}
	return Principal{c.Subject, c.SessionID, c.Roles, c.AuthTime.Time, c.Expires.Time}, nil
}

func (v *Verifier) revoked(sessionID string) bool {
	if v.revocations == nil {
		return false
	}
	_, revoked := v.revocations.Revoked(sessionID)
	return revoked
}

func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	// The library decodes with encoding/json, which keeps the last of two members of one name.
	for part := range strings.SplitSeq(t.Raw[:strings.LastIndexByte(t.Raw, '.')], ".") {
		text, err := v.parser.DecodeSegment(part)
		if err == nil {
			err = checkNames(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if t.Header["typ"] != TokenType {
		return nil, fmt.Errorf("%w: typ is not %s", ErrInvalid, TokenType)
	}
	if _, ok := t.Header["crit"]; ok {
		return nil, fmt.Errorf("%w: critical extension", ErrInvalid)
	}
	kid, ok := t.Header["kid"].(string)
	if !ok {
		return nil, fmt.Errorf("%w: no kid", ErrInvalid)
	}
	return v.keys.get(ctx, kid, t.Method.Alg())
}
