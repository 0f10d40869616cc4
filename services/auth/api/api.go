// Package api is the contract of the auth service: openapi.yaml, the types and the client that
// oapi-codegen generates from it (make generate), and the format of refresh tokens. It is a
// separate module, so that clients do not inherit the dependencies of the service.
package api

import _ "embed"

// Spec is the OpenAPI document.
//
//go:embed openapi.yaml
var Spec []byte

// Parameter values of a token request, from RFC 6749 section 6 and RFC 7523 section 2.2.
const (
	GrantRefreshToken   = "refresh_token"
	ClientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)
