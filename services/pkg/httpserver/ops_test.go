package httpserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"lilypad.example/services/pkg/httpserver"
)

func TestWhoIsNotReadySaysWhenToAskAgain(t *testing.T) {
	ready := httpserver.NewReadiness(t.Context(), func(context.Context) error { return errors.New("not yet") })
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody)
	httpserver.Ops(ready, httpserver.NewRegistry()).ServeHTTP(rec, r)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
}
