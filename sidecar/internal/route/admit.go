package route

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// Token is what an upstream gets as the token of a signed-in user.
type Token string

// The tokens. The zero value means OwnToken.
const (
	OwnToken Token = "own"
	NoToken  Token = "none"
)

// check returns an error unless t is known.
func (t Token) check() error {
	switch t {
	case "", OwnToken, NoToken:
		return nil
	case "provider":
		return errors.New("token provider is not available: use own or none")
	}
	return fmt.Errorf("unknown token %q: use own or none", string(t))
}

// passAuthorization is the only value of Route.Authorization.
const passAuthorization = "pass"

// PassesAuthorization reports whether a client's own Authorization is for the upstream.
func (r *Route) PassesAuthorization() bool { return r.Authorization == passAuthorization }

// Admits reports whether pages of origin may post to r.
func (r *Route) Admits(method, origin string) bool {
	return method == http.MethodPost && slices.Contains(r.Origins, origin)
}

// checkOrigin returns an error unless origin is spelled as browsers send it in Origin.
func checkOrigin(origin string) error {
	scheme, host, ok := strings.Cut(origin, "://")
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	if !ok || port == "" || !http1.IsHost(host) || strings.HasSuffix(host, ":") || strings.HasSuffix(host, port) || strings.ToLower(origin) != origin {
		return fmt.Errorf("origin %q must be a scheme and a host in small letters, with a port only if it is not the default: for example https://pay.example", origin)
	}
	return nil
}
