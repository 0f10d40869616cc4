package router_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/pkg/router"
)

func TestPathsAreMatchedExactly(t *testing.T) {
	r := router.New()
	r.GET("/a", func(c *gin.Context) { c.String(http.StatusOK, c.ClientIP()) })
	for target, want := range map[string]int{"/a": 200, "/a/": 404, "/A": 404, "//a": 404, "/x/../a": 404, "/b": 404} {
		rec := httptest.NewRecorder()
		r.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody))
		if rec.Code != want {
			t.Errorf("GET %s: status %d, want %d", target, rec.Code, want)
		}
	}
}

func TestAnotherMethodIs405AndForwardingHeadersAreIgnored(t *testing.T) {
	r := router.New()
	r.GET("/a", func(c *gin.Context) { c.String(http.StatusOK, c.ClientIP()) })
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/a", http.NoBody))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /a: status %d, want 405", rec.Code)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a", http.NoBody)
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	rec = httptest.NewRecorder()
	r.ServeHTTP(rec, req)
	if got := rec.Body.String(); got != "192.0.2.1" {
		t.Errorf("client address %q, want that of the connection, 192.0.2.1", got)
	}
}
