// Package router makes the gin router that all services use.
package router

import (
	"github.com/gin-gonic/gin"

	"lilypad.example/services/pkg/httpmw"
)

// New returns a router that matches decoded paths exactly: nothing is trimmed,
// corrected or redirected to a path near it. It answers 405 for a known path
// with another method, believes no forwarding headers, and tells httpmw.AccessLog
// the route.
func New() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = true
	r.ContextWithFallback = true
	_ = r.SetTrustedProxies(nil) // nil cannot be malformed
	r.Use(func(c *gin.Context) { httpmw.SetRoute(c.Request.Context(), c.FullPath()) })
	return r
}
