// Package httpapi implements the HTTP API of the auth service as specified in services/auth/api.
// Handlers decode the request, call a domain service and encode the response. Only errors.go maps
// domain errors to responses.
package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/token"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/router"
)

const (
	// maxBody leaves ample room for two passwords and an assertion, in bytes.
	maxBody = 32 << 10
	// maxFormBody fits a sealed form in base64 and the rest of its request, in bytes.
	maxFormBody = 4*form.MaxBytes/3 + 8<<10
	formsPath   = "/v1/forms"
)

// ClientAuthenticator authenticates the client of an assertion; see clientauth.Authenticator.
type ClientAuthenticator interface {
	Authenticate(ctx context.Context, assertion, source string) (client string, err error)
	Algorithms() []string
}

// API holds the dependencies of the endpoints.
type API struct {
	Issuer string
	Users  *user.Service
	Signin *signin.Service
	// Passwords lets users sign in with a password, and Registration lets visitors register with
	// one.
	Passwords, Registration bool
	Sessions                *session.Service
	Tokens                  *token.Issuer
	Keys                    func() *signer.Keys
	Clients                 ClientAuthenticator
	Limits                  ratelimit.Limiter
	Forms                   form.Store
	Verifier                *authn.Verifier
	Feed                    *feed.Feed
	// Stopping is closed when the service drains.
	Stopping <-chan struct{}
	Audit    *audit.Log
	Log      *slog.Logger
}

// Handler returns the endpoints with their middleware.
func (a *API) Handler() http.Handler {
	// The router ignores forwarding headers: the user's address comes in the body, from an
	// authenticated sidecar.
	r := router.New()
	r.POST("/v1/users", a.handle(a.createUser))
	r.POST("/v1/sessions", a.handle(a.createSession))
	r.GET("/v1/sessions", a.signedIn, a.handle(a.listSessions))
	r.DELETE("/v1/sessions", a.signedIn, a.handle(a.endSessions))
	r.DELETE("/v1/sessions/:sid", a.signedIn, a.handle(a.endSession))
	r.POST("/v1/sessions/confirm", a.handle(a.confirm))
	r.POST("/v1/authorizations", a.handle(a.beginAuthorization))
	r.POST("/v1/authorizations/complete", a.handle(a.completeAuthorization))
	r.POST("/auth/backchannel-logout/:provider", a.handle(a.backchannelLogout))
	r.GET("/v1/me", a.signedIn, a.handle(a.me))
	r.POST("/v1/me/password", a.signedIn, a.handle(a.changePassword))
	r.POST(formsPath, a.handle(a.keepForm))
	r.GET(formsPath+"/:sid", a.signedIn, a.handle(a.getForm))
	r.DELETE(formsPath+"/:sid", a.signedIn, a.handle(a.discardForm))
	r.PUT(formsPath+"/:sid/claims/:claim", a.signedIn, a.handle(a.claimForm))
	r.DELETE(formsPath+"/:sid/claims/:claim", a.signedIn, a.handle(a.settleForm))
	r.GET("/v1/revocations", a.handle(a.revocations))
	r.POST("/oauth2/token", a.handle(a.token))
	r.POST("/oauth2/revoke", a.handle(a.revoke))
	r.POST("/oauth2/introspect", a.handle(a.introspect))
	r.GET("/.well-known/jwks.json", a.handle(a.jwks))
	r.GET("/.well-known/oauth-authorization-server", a.handle(a.metadata))
	r.NoRoute(a.handle(func(*gin.Context) error {
		return problem.New(http.StatusNotFound, problem.NotFound, "There is nothing at this address.")
	}))
	r.NoMethod(a.handle(func(*gin.Context) error {
		return problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed, "This address does not take that method.")
	}))
	return httpmw.Chain(r,
		httpmw.RequestID,
		httpmw.AccessLog(a.Log),
		httpmw.Recover(a.Log),
		httpmw.SecurityHeaders("default-src 'none'; frame-ancestors 'none'"),
		limitBody,
	)
}

// limitBody limits the size of request bodies.
func limitBody(next http.Handler) http.Handler {
	usual, forms := httpmw.LimitBody(maxBody)(next), httpmw.LimitBody(maxFormBody)(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == formsPath {
			forms.ServeHTTP(w, r)
			return
		}
		usual.ServeHTTP(w, r)
	})
}

// signedIn admits only requests with a valid access token of an active session.
func (a *API) signedIn(c *gin.Context) {
	passed := false
	a.Verifier.Require(authn.JSON)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.Request, passed = r, true
	})).ServeHTTP(c.Writer, c.Request)
	if !passed {
		c.Abort()
		return
	}
	if err := a.Alive(c.Request.Context()); err != nil {
		a.fail(c, err)
		c.Abort()
	}
}

// handle adapts a handler that returns an error.
func (a *API) handle(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			a.fail(c, err)
		}
	}
}

// client authenticates the calling sidecar by its Authorization header.
func (a *API) client(c *gin.Context) (string, error) {
	scheme, assertion, ok := strings.Cut(c.GetHeader("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", errNoAssertion
	}
	return a.authenticate(c, assertion)
}

// oauthRequest reads the parameters of an OAuth request and authenticates the calling sidecar by
// the assertion in them (RFC 7523 section 2.2). Like authenticate, it may return a client with an
// error.
func (a *API) oauthRequest(c *gin.Context) (params url.Values, client string, err error) {
	if params, err = readParams(c.Request); err != nil {
		return nil, "", err
	}
	if params.Get("client_assertion_type") != api.ClientAssertionType || params.Get("client_assertion") == "" {
		return nil, "", oauth(errNoAssertion)
	}
	if client, err = a.authenticate(c, params.Get("client_assertion")); err != nil {
		return params, client, oauth(err)
	}
	if id, ok := params["client_id"]; ok && id[0] != client { // RFC 7521 section 4.2
		a.Audit.Record(c.Request.Context(), audit.ClientRefused)
		return nil, "", oauth(clientauth.ErrInvalid)
	}
	return params, client, nil
}

// authenticate returns the client of an assertion and audits an assertion that it refuses. The
// source of the assertion is the peer of the connection; forwarding headers are ignored. With
// clientauth.ErrMaybeReplayed it returns the client as well.
func (a *API) authenticate(c *gin.Context, assertion string) (string, error) {
	client, err := a.Clients.Authenticate(c.Request.Context(), assertion, c.RemoteIP())
	if isInvalidClient(err) {
		a.Audit.Record(c.Request.Context(), audit.ClientRefused)
	}
	return client, err
}

// decode decodes a JSON body. It refuses unknown fields and data after the first value.
func decode(c *gin.Context, into any) error {
	d := json.NewDecoder(c.Request.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return cmp.Or[error](httpmw.Unread(err), errMalformed)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errMalformed
	}
	return nil
}

// address returns text, the user's IP address, in canonical form, or "" if it is malformed.
func address(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return a.Unmap().String()
}

// network returns the network of an IP address, which usually stays the same while the address of a
// device changes: /24 for IPv4, /48 for IPv6. It returns "" if the address is malformed.
func network(text string) string {
	ip := net.ParseIP(text)
	switch v4 := ip.To4(); {
	case ip == nil:
		return ""
	case v4 != nil:
		return v4.Mask(net.CIDRMask(24, 32)).String()
	}
	return ip.Mask(net.CIDRMask(48, 128)).String()
}
