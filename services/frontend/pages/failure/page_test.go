package failure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/router"
)

func open(t *testing.T) (*failure.Failures, *bytes.Buffer) {
	t.Helper()
	assets, err := static.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	f, err := failure.New(assets, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return f, log
}

func ask(t *testing.T, accept string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/some/page?x=1", http.NoBody)
	r.Header.Set("Accept", accept)
	return r
}

func TestEachErrorHasItsStatusPageAndProblem(t *testing.T) {
	f, _ := open(t)
	for name, c := range map[string]struct {
		err        error
		status     int
		title      string
		link       string
		retryAfter bool
	}{
		"not found":       {failure.NotFound(), 404, "No frog here", "/", false},
		"method":          {failure.MethodNotAllowed(), 405, "Frogs do not do that", "/", false},
		"sign in":         {failure.SignIn(), 401, "Please sign in", "/login?next=%2fsome%2fpage%3fx%3d1", false},
		"expired":         {failure.Expired(), 401, "Please sign in", "/login?next=%2fsome%2fpage%3fx%3d1", false},
		"forbidden":       {problem.New(http.StatusForbidden, problem.Forbidden, "For admins only."), 403, "This pond is private", "/", false},
		"away":            {failure.Away(), 503, "The pond is asleep", "/some/page?x=1", true},
		"upstream 401":    {fmt.Errorf("frogs: %w", upstream.ErrUnauthorized), 401, "Please sign in", "/login?next=%2fsome%2fpage%3fx%3d1", false},
		"upstream 404":    {fmt.Errorf("frogs: %w", upstream.ErrNotFound), 404, "No frog here", "/", false},
		"upstream away":   {fmt.Errorf("frogs: %w", upstream.ErrUnavailable), 503, "The pond is asleep", "/some/page?x=1", true},
		"upstream limits": {fmt.Errorf("auth: %w", &upstream.RateLimitedError{RetryAfter: time.Minute}), 429, "Not so fast", "/", true},
		"anything at all": {errors.New("planted detail"), 500, "That went wrong", "/some/page?x=1", false},
		"too large":       {problem.New(http.StatusRequestEntityTooLarge, problem.TooLarge, "Too large."), 413, "That went wrong", "/", false},
	} {
		page, document := httptest.NewRecorder(), httptest.NewRecorder()
		f.Write(page, ask(t, "text/html"), c.err)
		f.Write(document, ask(t, "application/json"), c.err)
		d, err := goquery.NewDocumentFromReader(strings.NewReader(page.Body.String()))
		if err != nil {
			t.Fatal(err)
		}
		if page.Code != c.status || d.Find("h1").Text() != c.title || d.Find(".notice-words a").First().AttrOr("href", "") != c.link {
			t.Errorf("%s: status %d, title %q, link %q, want %d, %q and %q", name, page.Code, d.Find("h1").Text(), d.Find(".notice-words a").First().AttrOr("href", ""), c.status, c.title, c.link)
		}
		var p struct {
			Status     int
			Code, Type string
		}
		if err := json.Unmarshal(document.Body.Bytes(), &p); err != nil || p.Status != c.status || document.Code != c.status || p.Code == "" || p.Type != "about:blank" {
			t.Errorf("%s: status %d, problem %s, want status %d with a code and type about:blank", name, document.Code, document.Body, c.status)
		}
		for _, rec := range []*httptest.ResponseRecorder{page, document} {
			if (rec.Header().Get("Retry-After") != "") != c.retryAfter || rec.Header().Get("Cache-Control") != "no-store" || (rec.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
				t.Errorf("%s: header %v, want no-store, Retry-After: %t, and a challenge on 401 only", name, rec.Header(), c.retryAfter)
			}
			if strings.Contains(rec.Body.String(), "planted detail") {
				t.Errorf("%s: response leaks the error's details", name)
			}
		}
	}
}

func TestAPanicIsALogged500(t *testing.T) {
	f, log := open(t)
	r := router.New()
	r.Use(f.Recover)
	r.GET("/some/page", func(*gin.Context) { panic("planted fault") })
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, ask(t, "text/html"))
	if rec.Code != http.StatusInternalServerError || !strings.Contains(rec.Body.String(), "That went wrong") || strings.Contains(rec.Body.String(), "planted") {
		t.Errorf("status %d, body %s, want 500 without details", rec.Code, rec.Body)
	}
	if !strings.Contains(log.String(), "planted fault") || !strings.Contains(log.String(), "page_test.go") {
		t.Errorf("the log does not contain the panic's value and its place: %s", log)
	}
}

func TestNothingIsSaidToAClientThatHasGone(t *testing.T) {
	f, log := open(t)
	rec := httptest.NewRecorder()
	f.Write(rec, ask(t, "text/html"), fmt.Errorf("list: %w", context.Canceled))
	if rec.Code != 499 || rec.Body.Len() != 0 || log.Len() != 0 {
		t.Errorf("status %d, body %q, log %q, want 499 for the access log and nothing else", rec.Code, rec.Body, log)
	}
}
