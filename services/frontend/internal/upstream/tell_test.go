package upstream_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/pkg/problem"
)

func tell(t *testing.T, request upstream.Request, answer http.HandlerFunc) error {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return upstream.New(s.URL).Tell(t.Context(), request)
}

func TestTellSendsOneJSONDocumentOrNothing(t *testing.T) {
	var body map[string]string
	withBody := func(server string) (*http.Request, error) {
		return api.NewChangePasswordRequest(server, api.PasswordChange{CurrentPassword: "a", NewPassword: "b"})
	}
	err := tell(t, withBody, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Content-Type") != "application/json" || r.ContentLength < 1 {
			t.Errorf("body: %v, Content-Type %q, want a JSON body", err, r.Header.Get("Content-Type"))
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if err != nil || body["current_password"] != "a" {
		t.Errorf("error %v, body %v, want the passwords as JSON", err, body)
	}
	err = tell(t, upstream.To(http.MethodPost, "/x"), func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 || r.Header.Get("Content-Type") != "" {
			t.Errorf("request has %d bytes of %q, want no body", r.ContentLength, r.Header.Get("Content-Type"))
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTellStatuses(t *testing.T) {
	for status, want := range map[int]error{
		204: nil, 401: upstream.ErrUnauthorized, 404: upstream.ErrNotFound, 200: upstream.ErrUnavailable, 302: upstream.ErrUnavailable,
		403: upstream.ErrUnavailable, 409: upstream.ErrUnavailable, 500: upstream.ErrUnavailable, 503: upstream.ErrUnavailable,
	} {
		err := tell(t, upstream.To(http.MethodPost, "/x"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if !errors.Is(err, want) {
			t.Errorf("status %d: error %v, want %v", status, err, want)
		}
	}
}

func TestTellFieldErrors(t *testing.T) {
	err := tell(t, upstream.To(http.MethodPost, "/x"), func(w http.ResponseWriter, _ *http.Request) {
		p := problem.New(http.StatusUnprocessableEntity, problem.InvalidFields, "Please correct the marked fields.")
		p.Errors = []problem.FieldError{{Field: "password", Code: "common", Detail: "x"}}
		problem.Write(w, p)
	})
	faults, ok := errors.AsType[upstream.FieldErrors](err)
	if !ok || len(faults) != 1 || faults[0].Field != "password" || faults[0].Code != "common" || !strings.Contains(err.Error(), "password:common") {
		t.Errorf("error %v, want FieldErrors with password:common", err)
	}
	err = tell(t, upstream.To(http.MethodPost, "/x"), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte("<html>"))
	})
	if !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("body is not JSON: error %v, want ErrUnavailable", err)
	}
}

func TestTellRateLimited(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"17": 17 * time.Second, "": time.Minute, "0": time.Minute, "-3": time.Minute, "x": time.Minute, "99999999": time.Minute,
	} {
		err := tell(t, upstream.To(http.MethodPost, "/x"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		if limited, ok := errors.AsType[*upstream.RateLimitedError](err); !ok || limited.RetryAfter != want {
			t.Errorf("Retry-After %q: error %v, want RateLimitedError with %s", header, err, want)
		}
	}
}
