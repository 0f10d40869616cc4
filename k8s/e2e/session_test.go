package e2e

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func sessionScenarios() []scenario {
	return []scenario{
		{"CookieAttributes", cookieAttributes},
		{"NoTokenInTheBrowser", noTokenInTheBrowser},
		{"NewCookieAtEveryLogin", newCookieAtEveryLogin},
		{"RefreshUnnoticed", refreshUnnoticed},
		{"TwoUsersAtOnce", twoUsersAtOnce},
	}
}

func cookieAttributes(t *testing.T, w *World) {
	who := newAccount()
	a := w.visitor(t).sendJSON(t, "/auth/register", who.json()).want(t, http.StatusCreated)
	if len(a.cookies) != 1 {
		t.Fatalf("Set-Cookie %v, want one cookie", a.header["Set-Cookie"])
	}
	c := a.cookies[0]
	if c.Name != cookieName || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode && c.SameSite != http.SameSiteStrictMode {
		t.Errorf("Set-Cookie %s, want %s; Secure; HttpOnly; Path=/; SameSite=Lax or Strict; no Domain", c.Raw, cookieName)
	}
	if len(c.Value) > 200 {
		t.Errorf("cookie of %d bytes, want at most 200", len(c.Value))
	}
}

// jwt matches a signed token: eyJ is {" in base64.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

// encoded matches text that may be base64.
var encoded = regexp.MustCompile(`[A-Za-z0-9_+/-]{24,}={0,2}`)

// wantNoToken searches a text, and decoded base64 in it, for tokens and the cookie.
func wantNoToken(t *testing.T, where, text, cookie string) {
	t.Helper()
	search := func(how, s string) {
		if found := jwt.FindString(s); found != "" {
			t.Errorf("%s%s contains a JWT: %s", where, how, shorten(found))
		}
		if cookie != "" && strings.Contains(s, cookie) {
			t.Errorf("%s%s contains the value of the cookie", where, how)
		}
	}
	search("", text)
	for _, word := range encoded.FindAllString(text, -1) {
		word = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(word, "="))
		if plain, err := base64.RawStdEncoding.DecodeString(word); err == nil {
			search(" (base64)", string(plain))
		}
	}
}

var link = regexp.MustCompile(`(?:href|src)="(/[^"#]*)"`)

// crawl follows all links from the front page and calls visit with every response.
func crawl(t *testing.T, v *visitor, visit func(*answer)) {
	t.Helper()
	queue, seen := []string{"/", "/frogs", "/login", "/register", "/account", "/auth/session", "/api/frogs", "/no/such/page"}, map[string]bool{}
	for len(queue) > 0 && len(seen) < 150 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		a := v.navigate(t, path)
		visit(a)
		for _, found := range link.FindAllStringSubmatch(a.body, -1) {
			queue = append(queue, strings.ReplaceAll(found[1], "&amp;", "&"))
		}
	}
}

func noTokenInTheBrowser(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	answers := 0
	crawl(t, v, func(a *answer) {
		answers++
		wantNoToken(t, a.request+" body", a.body, v.jar.cookie)
		for name, values := range a.header {
			if name != "Set-Cookie" {
				wantNoToken(t, a.request+" header "+name, strings.Join(values, "\n"), v.jar.cookie)
			}
		}
		for _, c := range a.cookies {
			wantNoToken(t, a.request+" cookie", c.Value, "")
		}
	})
	if answers < 20 {
		t.Errorf("%d responses, want at least 20", answers)
	}
	v.session(t) // still signed in
}

func newCookieAtEveryLogin(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	first := v.jar.cookie
	v.login(t, who)
	second := v.jar.cookie
	if first == second {
		t.Error("the second login did not set a new cookie")
	}
	w.awaitEnd(t, first)
	wantUser(t, v, who)
}

// refreshUnnoticed rotates the cookie during 20 concurrent requests.
func refreshUnnoticed(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	first := wantUser(t, v, who)
	for range 2 {
		before := v.jar.cookie
		w.awaitRotation(t, func() bool {
			var wg sync.WaitGroup
			tabs := make([]*visitor, 20)
			for i := range tabs {
				tabs[i] = v.tab()
				wg.Go(func() {
					if a := tabs[i].fetch(t, http.MethodGet, "/api/frogs"); a.status != http.StatusOK {
						t.Errorf("%s: status %d, want 200: %s", a.request, a.status, shorten(a.body))
					}
				})
			}
			wg.Wait()
			for _, tab := range tabs {
				if tab.jar.cookie == before {
					continue
				}
				if v.jar.cookie != before && tab.jar.cookie != v.jar.cookie {
					t.Error("one cookie has two successors")
				}
				v.jar.cookie = tab.jar.cookie
			}
			return v.jar.cookie != before || t.Failed()
		})
	}
	if now := wantUser(t, v, who); now.SID != first.SID {
		t.Errorf("session %+v after the rotation, want the same as before, %+v", now, first)
	}
}

// twoUsersAtOnce checks that no user sees the page of the other.
func twoUsersAtOnce(t *testing.T, w *World) {
	visitors := []*visitor{w.visitor(t), w.visitor(t)}
	accounts := []account{visitors[0].register(t), visitors[1].register(t)}
	var wg sync.WaitGroup
	for i, v := range visitors {
		for range 4 {
			tab := v.tab()
			wg.Go(func() {
				for range 15 {
					page := tab.navigate(t, "/account").body
					if !strings.Contains(page, accounts[i].Email) || strings.Contains(page, accounts[1-i].Email) {
						t.Errorf("account page, want %s and not %s: %s", accounts[i].Email, accounts[1-i].Email, shorten(page))
						return
					}
				}
			})
		}
	}
	wg.Wait()
}
