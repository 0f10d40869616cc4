package e2e

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestForeignApp puts the product in front of an app that knows nothing of it and has no page of its
// own for signing in: with `make run APP=` and with a policy file that has a brand.
func TestForeignApp(t *testing.T) {
	program := compileStandalone(t)
	app := httptest.NewServer(http.HandlerFunc(foreignApp))
	t.Cleanup(app.Close)
	t.Run("App", func(t *testing.T) {
		p := startStandalone(t, program, "--app", app.URL)
		w := &World{BaseURL: p.says(t, "ready "), AccessTTL: accessTTL, Screenshots: os.Getenv("E2E_SCREENSHOTS")}
		for _, s := range []scenario{
			{"SignInUseSignOut", hostedDay},
			{"WithoutJavaScript", hostedWithoutJavaScript},
			{"NoRedirectLoop", hostedRedirects},
			{"WritesFromElsewhere", hostedWrites},
		} {
			t.Run(s.name, func(t *testing.T) { s.run(t, w) })
		}
	})
	t.Run("Brand", func(t *testing.T) {
		file := t.TempDir() + "/routes.yaml"
		text := fmt.Sprintf("brand: {name: Acme Wiki, color: \"#5b3df5\", links: [{text: Help, url: /help}]}\nupstreams: {app: %q}\nroutes: [{prefix: /, upstream: app, policy: session}, {prefix: /admin, upstream: app, policy: \"role:keeper\"}]\n", app.URL)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := startStandalone(t, program, "--routes", file)
		branded(t, &World{BaseURL: p.says(t, "ready "), AccessTTL: accessTTL, Screenshots: os.Getenv("E2E_SCREENSHOTS")})
	})
}

// foreignApp shows what it gets.
func foreignApp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	token := "no token"
	if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		token = "a token"
	}
	_, _ = fmt.Fprintf(w, "<!doctype html><title>Foreign</title><h1>Foreign app</h1><p>%s %s with %s</p>", r.Method, html.EscapeString(r.URL.Path), token)
}

func hostedDay(t *testing.T, w *World) {
	b := newBrowser(t, w)
	b.visit("/reports/7?tab=1")
	if b.path() != "/auth/login" {
		t.Fatalf("a stranger is at %s, want the login page", b.where())
	}
	b.want("Sign In")
	b.picture("hosted-login")
	b.press(`main a[href^="/auth/register"]`)
	b.picture("hosted-register")
	who := newAccount()
	b.fill(map[string]string{"email": who.Email, "name": who.Name, "password": who.Password})
	b.press(mainButton)
	b.want("GET /reports/7 with a token")
	b.wantNoToken()

	b.visit("/auth/login")
	b.want("You are signed in")
	b.picture("hosted-signed-in")
	phone := w.visitor(t)
	phone.login(t, who)
	b.visit("/auth/account")
	b.want(who.Email)
	b.picture("hosted-account")
	b.press(`form[action="/auth/account/sessions/end-others"] button`)
	b.want("All other sessions were ended.")
	w.awaitWithinTokenLife(t, "the end of the other session", func() bool {
		return phone.fetch(t, http.MethodGet, "/auth/session").status == http.StatusUnauthorized
	})

	b.fill(map[string]string{"current_password": "wrong", "new_password": "croak-" + who.Password})
	b.press(`form[action="/auth/account/password"] button`)
	b.want("not your current password")
	b.picture("hosted-password")
	b.visit("/auth/logout")
	b.want("Sign out?")
	b.picture("hosted-logout")
	b.press(mainButton)
	if b.path() != "/auth/login" || b.cookie() != "" {
		t.Errorf("after sign-out: cookie %q, at %s; want none and the login page", b.cookie(), b.where())
	}
	b.want("You are signed out.")
	b.fill(map[string]string{"email": who.Email, "password": "this is a wrong password"})
	b.press(mainButton)
	b.want("do not go together")
	b.picture("hosted-wrong-password")
	b.visit("/auth/nothing")
	b.want("Not Found")
	b.picture("hosted-not-found")
}

func hostedWithoutJavaScript(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	b := newBrowser(t, w)
	b.scripts(false)
	b.visit("/deep/page")
	b.fill(map[string]string{"email": who.Email, "password": who.Password})
	b.press(mainButton)
	b.visit("/auth/account")
	b.press(`nav form[action="/auth/logout"] button`)
	b.scripts(true)
	b.want("You are signed out.")
	if c := b.cookie(); c != "" {
		t.Errorf("cookie %q after sign-out, want none", c)
	}
}

// hostedRedirects follows every redirect that a stranger and a user get.
func hostedRedirects(t *testing.T, w *World) {
	user := w.visitor(t)
	user.register(t)
	for _, v := range []*visitor{w.visitor(t), user} {
		for _, path := range []string{"/", "/x?y=1", "/login", "/auth/login", "/auth/login?next=/auth/login", "/auth/account", "/auth/logout", "/auth/register", "/auth/form", "/auth/nothing"} {
			a := v.navigate(t, path)
			for steps := 0; a.status == http.StatusSeeOther; steps++ {
				if steps == 3 {
					t.Fatalf("%s is redirected for ever", path)
				}
				to, err := url.Parse(a.header.Get("Location"))
				if err != nil || to.Host != "" {
					t.Fatalf("%s leads to %q", path, a.header.Get("Location"))
				}
				a = v.navigate(t, to.String())
			}
		}
	}
}

func hostedWrites(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	for _, path := range []string{"/auth/account/sessions/end-others", "/auth/account/password", "/auth/account/sessions/end"} {
		if a := v.with("Sec-Fetch-Site", "cross-site").with("Origin", "https://elsewhere.example").submit(t, path, url.Values{}); a.status != http.StatusForbidden {
			t.Errorf("%s from another site: status %d, want 403", path, a.status)
		}
	}
}

func branded(t *testing.T, w *World) {
	b := newBrowser(t, w)
	b.visit("/")
	b.want("to go on to Acme Wiki")
	b.want("Help")
	if color := b.eval(`getComputedStyle(document.querySelector("main button")).backgroundColor`); color != "rgb(91, 61, 245)" {
		t.Errorf("the button has color %s, want that of the brand", color)
	}
	b.picture("hosted-brand-login")
	who := w.visitor(t).register(t)
	b.fill(map[string]string{"email": who.Email, "password": who.Password})
	b.press(mainButton)
	b.want("GET / with a token")
	b.visit("/admin")
	b.want("Your account may not do this.")
	b.want("Acme Wiki")
	b.picture("hosted-brand-forbidden")
}
