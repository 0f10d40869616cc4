package account_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/frontend/internal/fakes"
)

func TestTheProfile(t *testing.T) {
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Add(fakes.Person{Sub: "ann", Email: "ann@example.org", Name: "Ann Ångström", Roles: []string{"user", "admin"}})
	ann, err := w.Token("ann", func(c jwt.MapClaims) {
		c["roles"] = []string{"user", "admin"}
		c["auth_time"] = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC).Unix()
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := w.Do(t.Context(), http.MethodGet, "/account", ann)
	d, err := goquery.NewDocumentFromReader(strings.NewReader(rec.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, Cache-Control %q, want 200 and no-store", rec.Code, rec.Header().Get("Cache-Control"))
	}
	for selector, want := range map[string]string{
		"h1": "Account", ".account-name": "Ann Ångström", ".account-email": "ann@example.org", ".account-roles": "useradmin",
		".facts time": "23 November 2026, 09:30 UTC", ".greeting": "Hi, Ann Ångström",
	} {
		if got := d.Find(selector).Text(); got != want {
			t.Errorf("%s: %q, want %q", selector, got, want)
		}
	}
}

func TestAStrangerIsRefusedWithAWayBack(t *testing.T) {
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	rec := w.Do(t.Context(), http.MethodGet, "/account", "")
	if rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("status %d, challenge %q, want 401 and Bearer", rec.Code, rec.Header().Get("WWW-Authenticate"))
	}
	if !strings.Contains(rec.Body.String(), `href="/login?next=%2faccount"`) {
		t.Error("the login link does not lead back to the account")
	}
}
