package authn

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// Leeway is how far the clocks of issuer and verifier may be apart.
	Leeway = 30 * time.Second
	// maxToken is far above any token of ours and far below what would cost
	// anything to refuse.
	maxToken = 4096
	// TokenType is the typ header of an access token (RFC 9068 section 2.1): it
	// keeps other tokens of the same issuer from being taken for one.
	TokenType = "at+jwt"
)

// Config says whose tokens a Verifier accepts.
type Config struct {
	// JWKSURL is where the issuer publishes its keys. It is the only source of
	// keys: jku, jwk and x5u headers of a token are never followed.
	JWKSURL  string
	Issuer   string
	Audience string
	// Client fetches the keys; nil for one with a timeout of 5 s.
	Client *http.Client
	// Revocations says which sessions have ended; nil to believe a token until
	// its end.
	Revocations *Follower
}

// Claims is the payload of an access token.
type Claims struct {
	jwt.RegisteredClaims

	SessionID string           `json:"sid"`
	Roles     []string         `json:"roles"`
	AuthTime  *jwt.NumericDate `json:"auth_time"`
}

// A Verifier checks access tokens against the issuer's published keys.
type Verifier struct {
	keys        *keySet
	parser      *jwt.Parser
	revocations *Follower
}

// NewVerifier returns a Verifier whose keys stay fresh while ctx lives. It
// does not wait for the first keys: a service starts while its issuer is away.
func NewVerifier(ctx context.Context, c Config) *Verifier {
	v := &Verifier{
		keys:        newKeySet(c.JWKSURL, c.Client),
		revocations: c.Revocations,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithIssuer(c.Issuer),
			jwt.WithAudience(c.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(Leeway),
			jwt.WithStrictDecoding(),
		),
	}
	go v.keys.refreshLoop(ctx)
	return v
}

// Verify returns whom token speaks for. It fails with ErrInvalid or, when no
// keys have ever been fetched, with ErrUnavailable. It costs no network call
// unless the token names a key that is not known yet, and then at most one for
// all callers in 30 s (T50).
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxToken)
	}
	var keyErr error
	var claims Claims
	_, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
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
	if claims.Subject == "" || claims.SessionID == "" || claims.AuthTime == nil {
		return Principal{}, fmt.Errorf("%w: a required claim is missing", ErrInvalid)
	}
	if v.revoked(claims.SessionID) {
		return Principal{}, fmt.Errorf("%w: its session has ended", ErrInvalid)
	}
	return Principal{claims.Subject, claims.SessionID, claims.Roles, claims.AuthTime.Time, claims.ExpiresAt.Time}, nil
}

func (v *Verifier) revoked(sessionID string) bool {
	if v.revocations == nil {
		return false
	}
	_, revoked := v.revocations.Revoked(sessionID)
	return revoked
}

func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
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
