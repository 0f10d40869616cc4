package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lilypad.example/services/frontend/internal/upstream"
)

func ask(t *testing.T, answer http.HandlerFunc) error {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	var out struct{ A int }
	return upstream.New(s.URL+"/").Do(t.Context(), upstream.To(http.MethodGet, "/x"), &out)
}

func TestStatuses(t *testing.T) {
	for status, want := range map[int]error{
		200: nil, 401: upstream.ErrUnauthorized, 404: upstream.ErrNotFound, 403: upstream.ErrUnavailable,
		201: upstream.ErrUnavailable, 302: upstream.ErrUnavailable, 429: upstream.ErrUnavailable, 500: upstream.ErrUnavailable, 503: upstream.ErrUnavailable,
	} {
		err := ask(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/x" {
				t.Errorf("path %s, want /x", r.URL.Path)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"a":1}`))
		})
		if !errors.Is(err, want) {
			t.Errorf("status %d: error %v, want %v", status, err, want)
		}
	}
}

func TestAnIllServiceIsUnavailableAndCostsLittle(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"garbage":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"another type": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"a":"x"}`)) },
		"endless body": func(w http.ResponseWriter, _ *http.Request) {
			for line := []byte(strings.Repeat(" ", 64<<10)); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		},
		"large header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("x", 64<<10))
		},
		"dies halfway": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"a":`))
		},
		"never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		if err := ask(t, answer); !errors.Is(err, upstream.ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", name, err)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	t.Cleanup(elsewhere.Close)
	err := ask(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if !errors.Is(err, upstream.ErrUnavailable) || followed {
		t.Errorf("error %v, redirect followed: %t, want ErrUnavailable and false", err, followed)
	}
}

func TestAClientThatHasGoneIsNoFaultOfTheService(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	err := upstream.New(s.URL).Do(ctx, upstream.To(http.MethodGet, "/x"), new(struct{}))
	if !errors.Is(err, context.Canceled) || errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("error %v, want context.Canceled and not ErrUnavailable", err)
	}
}

func TestNobodyListens(t *testing.T) {
	if err := upstream.New("http://127.0.0.1:9").Do(t.Context(), upstream.To(http.MethodGet, "/x"), new(struct{})); !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

func TestNoErrorNamesThePath(t *testing.T) {
	status, closed := http.StatusOK, httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(s.Close)
	const path = "/v1/sessions/planted-id"
	for _, base := range []string{s.URL, closed.URL} {
		for _, status = range []int{http.StatusOK, http.StatusNotFound, http.StatusTooManyRequests, http.StatusUnprocessableEntity, http.StatusBadGateway} {
			for name, err := range map[string]error{
				"Do":   upstream.New(base).Do(t.Context(), upstream.To(http.MethodGet, path), new(struct{ A int })),
				"Tell": upstream.New(base).Tell(t.Context(), upstream.To(http.MethodDelete, path)),
			} {
				if err == nil || strings.Contains(err.Error(), "planted-id") || !strings.Contains(err.Error(), "127.0.0.1") {
					t.Errorf("%s, status %d: want an error with the host and without the path, got %v", name, status, err)
				}
			}
		}
	}
}
