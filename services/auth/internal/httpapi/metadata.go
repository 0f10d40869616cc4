package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
)

// JWKSMaxAge is how long a cache may keep the JWKS.
const JWKSMaxAge = time.Minute

// jwks handles GET /.well-known/jwks.json (RFC 7517).
func (a *API) jwks(c *gin.Context) error {
	c.Header("Cache-Control", "public, max-age="+strconv.Itoa(int(JWKSMaxAge.Seconds())))
	c.Data(http.StatusOK, "application/json", a.Keys().JWKS())
	return nil
}

// metadata handles GET /.well-known/oauth-authorization-server (RFC 8414).
func (a *API) metadata(c *gin.Context) error {
	methods, algorithms := []string{"private_key_jwt"}, a.Clients.Algorithms()
	c.JSON(http.StatusOK, api.Metadata{
		Issuer:                            a.Issuer,
		TokenEndpoint:                     a.Issuer + "/oauth2/token",
		RevocationEndpoint:                a.Issuer + "/oauth2/revoke",
		IntrospectionEndpoint:             a.Issuer + "/oauth2/introspect",
		JwksUri:                           a.Issuer + "/.well-known/jwks.json",
		GrantTypesSupported:               []string{api.GrantRefreshToken},
		ResponseTypesSupported:            []string{}, // no authorization endpoint
		TokenEndpointAuthMethodsSupported: methods,
		TokenEndpointAuthSigningAlgValuesSupported:         &algorithms,
		IntrospectionEndpointAuthMethodsSupported:          &methods,
		IntrospectionEndpointAuthSigningAlgValuesSupported: &algorithms,
	})
	return nil
}
