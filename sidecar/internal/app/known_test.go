package app_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/cookie"
)

// keeps checks which cookies the browser has.
func (b *browser) keeps(when string, names ...string) {
	b.t.Helper()
	if got := slices.Sorted(maps.Keys(b.jar)); !slices.Equal(got, names) {
		b.t.Errorf("%s the browser keeps %q, want %q", when, got, names)
	}
}

// knows returns the accounts in the known-device cookie of the browser.
func (b *browser) knows() []string {
	b.t.Helper()
	accounts := []string{}
	b.auth.set(func(a *auth) {
		for token := range strings.SplitSeq(b.jar[cookie.Known], "~") {
			if parts := strings.Split(token, "."); len(parts) == 5 {
				accounts = append(accounts, a.owners[parts[2]])
			}
		}
	})
	return accounts
}

func (b *browser) tryToSignIn(who string) reply {
	b.t.Helper()
	return b.post("/auth/login", "email="+who+"&password="+strings.ReplaceAll(password, " ", "+"))
}

// An attacker has used up the attempts of unknown devices.
func TestAKnownDeviceSignsInWhileStrangersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*browser)
		known bool
	}{
		"still signed in":             {func(*browser) {}, true},
		"signed out":                  {func(b *browser) { b.post("/auth/logout", "") }, true},
		"ended elsewhere, and seen":   {(*browser).killSession, true},
		"ended elsewhere, not seen":   {(*browser).expire, true},
		"another account, signed out": {func(b *browser) { b.signIn(otherEmail, ""); b.post("/auth/logout", "") }, true},
		"another account, signed in":  {func(b *browser) { b.post("/auth/logout", ""); b.signIn(otherEmail, "") }, true},
		"all cookies deleted":         {func(b *browser) { clear(b.jar) }, false},
		"only another account": {func(b *browser) {
			clear(b.jar)
			b.signIn(otherEmail, "")
			b.post("/auth/logout", "")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			b.signIn(email, "")
			c.end(b)
			b.auth.set(func(a *auth) { a.strict = true })
			stranger := &browser{b.world, map[string]string{}}
			if r := stranger.tryToSignIn(email); !strings.Contains(r.header.Get("Location"), "error=rate_limited") || r.header.Get("Retry-After") != "1020" {
				t.Errorf("an unknown device is redirected to %q, Retry-After %q, want rate_limited and 1020", r.header.Get("Location"), r.header.Get("Retry-After"))
			}
			if r := stranger.send(http.MethodPost, "/auth/login", credentials(password), "Content-Type", jsonType); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1020" {
				t.Errorf("a script on an unknown device: status %d, Retry-After %q, want 429 and 1020", r.status, r.header.Get("Retry-After"))
			}
			before := maps.Clone(b.jar)
			r := b.tryToSignIn(email)
			if _, in := r.setCookie(t); in != c.known {
				t.Errorf("login of the owner redirects to %q, want signed in: %t", r.header.Get("Location"), c.known)
			}
			if !c.known && !maps.Equal(b.jar, before) {
				t.Errorf("a failed login changed the cookies to %v, want %v", b.jar, before)
			}
		})
	}
}

// Of the people who share a browser, it remembers the latest few that are not signed in, the newest
// first.
func TestABrowserRemembersAFewAccounts(t *testing.T) {
	b := newBrowser(t)
	step := func(when string, want ...string) {
		t.Helper()
		if got := b.knows(); !slices.Equal(got, want) {
			t.Errorf("%s the browser knows %q, want %q", when, got, want)
		}
	}
	b.signIn(email, "")
	b.keeps("signed in,", cookie.Name)
	b.post("/auth/logout", "")
	b.keeps("signed out,", cookie.Known)
	step("after the first", email)
	b.signIn(otherEmail, "")
	b.keeps("with another signed in,", cookie.Name, cookie.Known)
	step("with another signed in", email)
	b.killSession()
	b.keeps("when that has ended,", cookie.Former, cookie.Known)
	step("after both", otherEmail, email)
	b.signIn(email, "") // again
	step("with the first again", otherEmail)
	b.signIn(otherEmail, "") // without signing out
	step("changed over", email)
	b.signIn(otherEmail, "")
	step("signed in twice", email)
	b.post("/auth/logout", "")
	b.post("/auth/logout", "")
	step("signed out twice", otherEmail, email)
	for range 5 { // forged cookies replace others, and the limit holds
		b.jar[cookie.Name] = "v1.k1.forged0000000000000000.1." + strings.Repeat("m", 43)
		b.post("/auth/logout", "")
	}
	if n := strings.Count(b.jar[cookie.Known], "~"); n != 2 {
		t.Errorf("the browser has %d known-device tokens, want 3", n+1)
	}
}

// On a shared computer, a token that may still be valid would be the session itself.
func TestATokenThatMayLiveIsNotRemembered(t *testing.T) {
	broken := func(path string) func(*auth) { return func(a *auth) { a.fails = path } }
	b := newBrowser(t)
	b.signIn(email, "")
	b.auth.set(broken("/oauth2/revoke"))
	if r := b.post("/auth/logout", ""); r.status != http.StatusServiceUnavailable {
		t.Fatalf("status %d, want 503", r.status)
	}
	b.keeps("signed out without success,", []string{}...)
	b.auth.set(broken(""))
	b.signIn(email, "")
	b.auth.set(broken("/oauth2/revoke"))
	b.signIn(otherEmail, "")
	b.keeps("after a login that could not end the session before,", cookie.Name)
}

// The cookie gives no access to a session or a form, and the application neither sees nor sets it.
func TestTheKnownDeviceCookieIsForLoginsAlone(t *testing.T) {
	b := newBrowser(t)
	b.signIn(email, "")
	b.expire()
	if r := b.post("/api/letters", entered); r.header.Get("Location") != toForm {
		t.Fatalf("status %d, want 303 to the login page: %s", r.status, r.body)
	}
	known := b.jar[cookie.Known]
	if known == "" {
		t.Fatal("the browser has no known-device cookie")
	}
	b.signIn(email, "/auth/form")
	b.post("/auth/logout", "")
	b.jar = map[string]string{cookie.Known: known}
	if r := b.post("/api/letters", entered); r.status != http.StatusUnauthorized || !strings.Contains(r.body, "could not be kept") {
		t.Errorf("post with the known-device cookie alone: status %d, want 401; Location %q", r.status, r.header.Get("Location"))
	}
	b.signIn(email, "")
	b.jar[cookie.Known] = known
	if r := b.open("/auth/form"); r.status != http.StatusNotFound {
		t.Errorf("GET /auth/form with another session: status %d, want 404", r.status)
	}
	b.jar = map[string]string{cookie.Known: known, "theme": "dark"}
	if r := b.open("/account"); r.status != http.StatusSeeOther {
		t.Errorf("GET /account with the known-device cookie alone: status %d, want 303", r.status)
	}
	b.app = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Set-Cookie", cookie.Known+"=planted; Path=/; Secure")
		return false
	}
	r := b.open("/")
	if got := r.seen(t).Header.Get("Cookie"); got != "theme=dark" {
		t.Errorf("the application got the cookies %q, want only theme=dark", got)
	}
	if r.header.Get("Set-Cookie") != "" {
		t.Errorf("the application set %q, want it removed", r.header.Get("Set-Cookie"))
	}
}

// Retry-After of the auth service takes precedence over the sidecar's default if it is valid.
func TestEach503PassesOnWhenToComeBack(t *testing.T) {
	for said, want := range map[string]string{"": "5", "42": "42", "1": "1", "0": "5", "-3": "5", "soon": "5"} {
		t.Run(said, func(t *testing.T) {
			b := keepForm(t, email)
			here := maps.Clone(b.jar)
			b.auth.set(func(a *auth) {
				a.instead = func(w http.ResponseWriter, _ *http.Request) {
					if said != "" {
						w.Header().Set("Retry-After", said)
					}
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			unknown := map[string]string{cookie.Name: strings.Replace(here[cookie.Name], "family", "FAMILY", 1)}
			for _, c := range []struct {
				name string
				jar  map[string]string
				ask  func() reply
			}{
				{"a page", unknown, func() reply { return b.open("/account") }},
				{"who is signed in", unknown, func() reply { return b.open("/auth/session") }},
				{"their account", here, func() reply { return b.open("/auth/session") }},
				{"a kept form", here, func() reply { return b.open("/auth/form") }},
				{"a kept form's send", here, func() reply { return b.confirm("/api/letters") }},
				{"logout", here, func() reply { return b.post("/auth/logout", "") }},
				{"login", nil, func() reply {
					return b.send(http.MethodPost, "/auth/login", credentials(password), "Content-Type", jsonType)
				}},
				{"registration", nil, func() reply {
					return b.send(http.MethodPost, "/auth/register", credentials(password), "Content-Type", jsonType)
				}},
			} {
				if b.jar = maps.Clone(c.jar); b.jar == nil {
					b.jar = map[string]string{}
				}
				if r := c.ask(); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") != want {
					t.Errorf("%s: status %d, Retry-After %q, want 503 and %s", c.name, r.status, r.header.Get("Retry-After"), want)
				}
			}
		})
	}
}
