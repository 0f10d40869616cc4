package e2e

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func pageScenarios() []scenario {
	return []scenario{
		{"PagesOfAUserAreNotStored", pagesAreNotStored},
		{"PageHeaders", pageHeaders},
		{"CacheDeception", cacheDeception},
		{"HostileNamesAreInert", hostileNames},
		{"NothingFromElsewhere", nothingFromElsewhere},
	}
}

func pagesAreNotStored(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	for _, path := range []string{"/", "/frogs", "/account", "/api/frogs", "/auth/session"} {
		a := v.navigate(t, path).want(t, http.StatusOK)
		if cc := a.header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
			t.Errorf("%s: Cache-Control %q, want no-store", a.request, cc)
		}
	}
}

var maxAge = regexp.MustCompile(`max-age=(\d+)`)

func pageHeaders(t *testing.T, w *World) {
	v := w.visitor(t)
	check := func(path string) {
		a := v.navigate(t, path)
		h := a.header
		csp := map[string]string{}
		for directive := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
			csp[name] = value
		}
		for _, name := range []string{"object-src", "base-uri", "frame-ancestors"} {
			if csp[name] != "'none'" {
				t.Errorf("%s: CSP %s %q, want 'none'", a.request, name, csp[name])
			}
		}
		if csp["default-src"] == "" || strings.Contains(h.Get("Content-Security-Policy"), "'unsafe-") || strings.Contains(h.Get("Content-Security-Policy"), "*") {
			t.Errorf("%s: CSP %q, want default-src, and neither 'unsafe-…' nor *", a.request, h.Get("Content-Security-Policy"))
		}
		age := maxAge.FindStringSubmatch(h.Get("Strict-Transport-Security"))
		if age == nil {
			t.Errorf("%s: no Strict-Transport-Security", a.request)
		} else if seconds, _ := strconv.Atoi(age[1]); seconds < 365*24*3600 {
			t.Errorf("%s: Strict-Transport-Security %q, want max-age of at least a year", a.request, h.Get("Strict-Transport-Security"))
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := h.Values(name); len(got) != 1 || !strings.EqualFold(got[0], want) {
				t.Errorf("%s: %s %q, want %q once", a.request, name, got, want)
			}
		}
		if p := h.Get("Referrer-Policy"); p == "" || p == "unsafe-url" || p == "no-referrer-when-downgrade" {
			t.Errorf("%s: Referrer-Policy %q, want one that hides the URL from other sites", a.request, p)
		}
		for _, name := range []string{"Server", "X-Powered-By", "Via"} {
			if h.Get(name) != "" {
				t.Errorf("%s: header %s: %s, want none", a.request, name, h.Get(name))
			}
		}
	}
	for _, path := range []string{"/", "/login", "/register", "/no/such/page"} {
		check(path)
	}
	v.register(t)
	for _, path := range []string{"/", "/account", "/admin", "/no/such/page"} {
		check(path)
	}
}

func cacheDeception(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	for _, path := range []string{
		"/account/x.css", "/account%2fx.js", "/account%2Fx.css", "/account;.png", "/account;x.css", "/account.css", "/account/..%2fx.css",
		"/account%0ax.css", "/account%00.css", "/account%3fx.css", "/account%23x.css", "/account/.css", "/account//x.css",
		"/static/..%2faccount", "/static/%2e%2e/account", "/static/..%2faccount.css", "/static//../account", "/api/frogs/x.css", "/api/frogs;.css",
	} {
		a := v.navigate(t, path)
		stored := !strings.Contains(a.header.Get("Cache-Control"), "no-store")
		if stored && a.status != http.StatusNotFound && a.status != http.StatusBadRequest {
			t.Errorf("%s: status %d with Cache-Control %q, want no-store, 404 or 400", a.request, a.status, a.header.Get("Cache-Control"))
		}
		if stored && strings.Contains(a.body, who.Email) {
			t.Errorf("%s: a cacheable response shows the user", a.request)
		}
	}
}

func hostileNames(t *testing.T, w *World) {
	for _, name := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title><svg/onload=alert(1)>`, `{{.}}`,
	} {
		v, who := w.visitor(t), newAccount()
		who.Name = name
		v.sendJSON(t, "/auth/register", who.json()).want(t, http.StatusCreated)
		for _, path := range []string{"/", "/account"} {
			page := v.navigate(t, path).want(t, http.StatusOK).body
			if strings.ContainsAny(name, "<>'\"") && strings.Contains(page, name) {
				t.Errorf("%s shows the name %q unescaped", path, name)
			}
		}
		who.Password = "wrong"
		to := w.visitor(t).submit(t, "/auth/register", who.form()).wantRedirect(t)
		if page := w.visitor(t).navigate(t, to.String()).want(t, http.StatusOK).body; strings.ContainsAny(name, "<>'\"") && strings.Contains(page, name) {
			t.Errorf("the form shows the name %q unescaped", name)
		}
	}
}

var elsewhere = regexp.MustCompile(`(?i)(?:src|srcset|data|href|action)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import`)

func nothingFromElsewhere(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	crawl(t, v, func(a *answer) {
		if found := elsewhere.FindString(a.body); found != "" && !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s refers to another host: %s", a.request, found)
		}
	})
}
