package app_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/cookie"
)

// keeps checks which of our cookies the browser has.
func (b *browser) keeps(when string, names ...string) {
	b.t.Helper()
	if got := slices.Sorted(maps.Keys(b.jar)); !slices.Equal(got, names) {
		b.t.Errorf("%s the browser keeps %q, want %q", when, got, names)
	}
}

// knows returns the accounts of which the browser is a known device, by the cookie alone.
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

// TestAKnownDeviceSignsInWhileStrangersAreRefused: an attacker has used up what strangers may try.
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
				t.Errorf("a stranger is sent to %q, Retry-After %q", r.header.Get("Location"), r.header.Get("Retry-After"))
			}
			if r := stranger.send(http.MethodPost, "/auth/login", credentials(password), "Content-Type", jsonType); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1020" {
				t.Errorf("a stranger's script: status %d, want 429; Retry-After %q", r.status, r.header.Get("Retry-After"))
			}
			before := maps.Clone(b.jar)
			r := b.tryToSignIn(email)
			if _, in := r.setCookie(t); in != c.known {
				t.Errorf("the owner is sent to %q", r.header.Get("Location"))
			}
			if !c.known && !maps.Equal(b.jar, before) {
				t.Errorf("a refusal changed the cookies: %v, before %v", b.jar, before)
			}
		})
	}
}

// TestABrowserRemembersAFewAccounts: of people who share it, the newest first, and none that is
// signed in.
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
	for range 5 { // forged cookies push the others out, and take no more room
		b.jar[cookie.Name] = "v1.k1.forged0000000000000000.1." + strings.Repeat("m", 43)
		b.post("/auth/logout", "")
	}
	if n := strings.Count(b.jar[cookie.Known], "~"); n != 2 {
		t.Errorf("%d tokens are remembered, want 3", n+1)
	}
}

// TestATokenThatMayLiveIsNotRemembered: on a shared computer it would be the session itself.
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

// TestTheKnownDeviceCookieIsForLoginsAlone: no session, no form, and nothing that the application
// sees or sets.
func TestTheKnownDeviceCookieIsForLoginsAlone(t *testing.T) {
	b := newBrowser(t)
	b.signIn(email, "")
	b.expire()
	if r := b.post("/api/letters", entered); r.header.Get("Location") != toForm {
		t.Fatalf("status %d, want 303 to the login page: %s", r.status, r.body)
	}
	known := b.jar[cookie.Known]
	if known == "" {
		t.Fatal("nothing is remembered of the session")
	}
	b.signIn(email, "/auth/form")
	b.post("/auth/logout", "")
	b.jar = map[string]string{cookie.Known: known}
	if r := b.post("/api/letters", entered); r.status != http.StatusUnauthorized || !strings.Contains(r.body, "could not be kept") {
		t.Errorf("a form is kept: status %d, want 401; Location %q", r.status, r.header.Get("Location"))
	}
	b.signIn(email, "")
	b.jar[cookie.Known] = known
	if r := b.open("/auth/form"); r.status != http.StatusNotFound {
		t.Errorf("a form is offered: status %d, want 404", r.status)
	}
	b.jar = map[string]string{cookie.Known: known, "theme": "dark"}
	if r := b.open("/account"); r.status != http.StatusSeeOther {
		t.Errorf("signed in by it: status %d, want 303", r.status)
	}
	b.app = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Set-Cookie", cookie.Known+"=planted; Path=/; Secure")
		return false
	}
	r := b.open("/")
	if got := r.seen(t).Header.Get("Cookie"); got != "theme=dark" {
		t.Errorf("the application sees %q", got)
	}
	if r.header.Get("Set-Cookie") != "" {
		t.Errorf("the application sets %q", r.header.Get("Set-Cookie"))
	}
}

// TestEach503PassesOnWhenToComeBack: the auth service knows better than the sidecar, if it says
// anything.
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
					t.Errorf("%s: %d, Retry-After %q, want %s", c.name, r.status, r.header.Get("Retry-After"), want)
				}
			}
		})
	}
}
