package httpserver_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"lilypad.example/services/pkg/httpserver"
)

func TestWhoIsNotReadySaysWhenToAskAgain(t *testing.T) {
	ready := func() error { return errors.New("not yet") }
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody)
	httpserver.Ops(t.Context(), ready, httpserver.NewRegistry()).ServeHTTP(rec, r)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q, want 503 and 1", rec.Code, rec.Header().Get("Retry-After"))
	}
}
