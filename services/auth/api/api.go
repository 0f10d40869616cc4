// Package api is the contract of the auth service: openapi.yaml, the types and
// the client that oapi-codegen generates from it (make generate), and the form of
// refresh tokens. It is a module of its own, so that a client inherits none of
// the service's dependencies.
package api

import _ "embed"

// Spec is the OpenAPI document.
//
//go:embed openapi.yaml
var Spec []byte

// The values of RFC 7523 section 2.2 and RFC 6749 section 6 in a token request.
const (
	GrantRefreshToken   = "refresh_token"
	ClientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)
