package httpmw

import (
	"maps"
	"net/http"
)

// PageCSP is the Content-Security-Policy of our own pages: nothing from other origins, no scripts,
// no framing.
const PageCSP = "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; " +
	"base-uri 'none'; object-src 'none'; frame-ancestors 'none'"

// SecurityHeaders sets the headers of every response. Handlers may replace single ones, such as
// Cache-Control for a static file.
func SecurityHeaders(csp string) Middleware {
	fixed := http.Header{}
	for name, value := range map[string]string{
		"Content-Security-Policy":      csp,
		"Strict-Transport-Security":    "max-age=63072000",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Cache-Control":                "no-store",
	} {
		fixed.Set(name, value)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			maps.Copy(h, fixed) // all responses share the values, which nothing modifies
			next.ServeHTTP(w, r)
		})
	}
}
