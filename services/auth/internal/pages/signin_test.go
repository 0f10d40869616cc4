package pages_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/pages"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
)

// methods are ways to sign in that a test chooses.
type methods struct {
	passwords, registration bool
	providers               []pages.Provider
}

func (m methods) Passwords() bool             { return m.passwords }
func (m methods) Registration() bool          { return m.registration }
func (m methods) Providers() []pages.Provider { return m.providers }

// get asks for a page as a stranger.
func get(t *testing.T, m methods, ready error, target string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := pages.New(pages.Config{
		Methods: m, Alive: func(context.Context) error { return nil }, Problem: problem.From, Ready: func() error { return ready },
		Verifier: authn.NewVerifier(t.Context(), authn.Config{JWKSURL: "http://127.0.0.1:1", Issuer: "x", Audience: "x"}),
		Now:      time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func one() []pages.Provider { return []pages.Provider{{ID: "acme", Name: "Acme <SSO>"}} }

func two() []pages.Provider { return append(one(), pages.Provider{ID: "github", Name: "GitHub"}) }

// With one provider and no passwords, the login page leads straight to the provider, unless the
// visitor comes from there or has just signed out.
func TestTheOnlyWayToSignInIsTakenAtOnce(t *testing.T) {
	down := one()
	down[0].Down = true
	for name, c := range map[string]struct {
		methods methods
		target  string
		want    string // Location; "" for a page
	}{
		"only one":         {methods{providers: one()}, "/auth/login", "/auth/login/acme"},
		"with a target":    {methods{providers: one()}, "/auth/login?next=%2Fa%3Fb%3Dc", "/auth/login/acme?next=%2Fa%3Fb%3Dc"},
		"a hostile one":    {methods{providers: one()}, "/auth/login?next=%2F%2Fevil.test", "/auth/login/acme"},
		"after an error":   {methods{providers: one()}, "/auth/login?error=provider_denied&provider=acme", ""},
		"unknown error":    {methods{providers: one()}, "/auth/login?error=x", ""},
		"empty error":      {methods{providers: one()}, "/auth/login?error=", ""},
		"signed out":       {methods{providers: one()}, "/auth/login?signed_out=1", ""},
		"down":             {methods{providers: down}, "/auth/login", ""},
		"two":              {methods{providers: two()}, "/auth/login", ""},
		"with passwords":   {methods{passwords: true, providers: one()}, "/auth/login", ""},
		"none":             {methods{}, "/auth/login", ""},
		"only passwords":   {methods{passwords: true}, "/auth/login", ""},
		"the sign-up page": {methods{registration: true, providers: one()}, "/auth/register", ""},
	} {
		w := get(t, c.methods, nil, c.target)
		if to := w.Header().Get("Location"); to != c.want || (w.Code == http.StatusSeeOther) != (c.want != "") {
			t.Errorf("%s: status %d to %q, want %q", name, w.Code, to, c.want)
		}
	}
}

func TestTheLoginPageShowsTheWaysThatAreSwitchedOn(t *testing.T) {
	down := two()
	down[1].Down = true
	for name, c := range map[string]struct {
		methods     methods
		has, hasNot []string
	}{
		"everything": {
			methods{true, true, two()},
			[]string{`action="/auth/login"`, `href="/auth/login/acme?next=%2fx"`, "Continue with Acme &lt;SSO&gt;", "Continue with GitHub", "or with a password", `href="/auth/register?next=%2Fx"`},
			nil,
		},
		"no passwords": {methods{providers: two()}, []string{"Continue with GitHub"}, []string{`action="/auth/login"`, "or with a password", "/auth/register"}},
		"no providers": {methods{passwords: true}, []string{`action="/auth/login"`}, []string{"Continue with", "or with a password"}},
		"one is down":  {methods{passwords: true, providers: down}, []string{"GitHub does not answer at the moment", "Continue with Acme", `action="/auth/login"`}, []string{"/auth/login/github"}},
		"nothing":      {methods{}, []string{"Nobody can sign in here"}, []string{`action="/auth/login"`}},
	} {
		page := strings.ReplaceAll(get(t, c.methods, nil, "/auth/login?next=%2Fx").Body.String(), "%2F", "%2f")
		for _, want := range c.has {
			if !strings.Contains(page, strings.ReplaceAll(want, "%2F", "%2f")) {
				t.Errorf("%s: no %s in the page", name, want)
			}
		}
		for _, unwanted := range c.hasNot {
			if strings.Contains(page, unwanted) {
				t.Errorf("%s: %s is in the page", name, unwanted)
			}
		}
	}
	if w := get(t, methods{passwords: true}, nil, "/auth/register"); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), `action="/auth/register"`) {
		t.Errorf("registration switched off: status %d, want 404 and no form", w.Code)
	}
}

// Every refusal of a provider has its sentence, and leads to another account at that provider where
// that may help.
func TestARefusedPersonLearnsWhyAndCanUseAnotherAccount(t *testing.T) {
	const another = "/auth/login/acme?next=%2Fx&amp;prompt=select_account"
	for code, c := range map[string]struct {
		want    string
		another bool
	}{
		"provider_denied": {"canceled", true}, "provider_unavailable": {"does not work at the moment", false}, "unknown_provider": {"does not work at the moment", false},
		"provider_failed": {"failed", false}, "not_allowed": {"has no access here", true}, "email_unverified": {"not confirmed", true},
		"email_missing": {"did not tell your e-mail address", true}, "email_has_password": {"Sign in with the password", true}, "account_disabled": {"disabled", true},
		"groups_overage": {"more groups", true}, "step_up_failed": {"stronger or more recent", true}, "unknown_authorization": {"took too long", false},
		"insufficient_user_authentication": {"sign in again", false}, "invalid_credentials": {"do not go together", false}, "rate_limited": {"Too many attempts", false},
		"unavailable": {"does not work at the moment", false}, "forbidden": {"may not do this", true}, "form_kept": {"kept for ten minutes", false},
	} {
		page := get(t, methods{true, true, two()}, nil, "/auth/login?error="+code+"&provider=acme&next=%2Fx").Body.String()
		alert := page[max(0, strings.Index(page, `class="alert"`)):]
		if !strings.Contains(alert, c.want) || strings.Contains(page, another) != c.another {
			t.Errorf("%s: want %q, and another account: %t; page %s", code, c.want, c.another, alert)
		}
	}
	for _, provider := range []string{"", "github%22", "nobody", "%3Cb%3E"} {
		if page := get(t, methods{true, true, two()}, nil, "/auth/login?error=not_allowed&provider="+provider).Body.String(); strings.Contains(page, "select_account") {
			t.Errorf("provider %q: there is a link to another account", provider)
		}
	}
}

func TestPagesSayThatTheServiceIsStarting(t *testing.T) {
	w := get(t, methods{passwords: true}, errors.New("no stores yet"), "/auth/login")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "starting") || strings.Contains(w.Body.String(), "no stores") {
		t.Errorf("status %d: %s, want a 503 page without details", w.Code, w.Body)
	}
}
