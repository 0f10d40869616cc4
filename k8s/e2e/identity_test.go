package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func identityScenarios() []scenario {
	return []scenario{
		{"ForgedIdentityHeadersOfAStranger", forgedIdentityOfAStranger},
		{"ForgedIdentityHeadersOfAUser", forgedIdentityOfAUser},
		{"HopByHopDeletion", hopByHopDeletion},
		{"ForgedCookies", forgedCookies},
		{"CookieOfAnUnknownRingKey", cookieOfAnUnknownRingKey},
		{"CookieOfAnEndedSession", cookieOfAnEndedSession},
		{"AmbiguousCookies", ambiguousCookies},
	}
}

// forged are headers by which a client may try to assume an identity, in spellings that some
// servers treat alike.
func forged(victim account) map[string]string {
	const token = "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJ2aWN0aW0iLCJyb2xlcyI6WyJhZG1pbiJdfQ."
	headers := map[string]string{
		"Authorization": token, "authorization": token, "Proxy-Authorization": token,
		"X-Forwarded-Access-Token": token, "X-Forwarded-Authorization": token, "X-Original-Authorization": token,
		"Forwarded": "for=127.0.0.1;host=evil.example;proto=https", "X-Forwarded-Host": "evil.example",
		"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "X-Original-URL": "/admin", "X-Rewrite-URL": "/admin",
		"X-Forwarded-Prefix": "//evil.example", "X-Forwarded-Uri": "/admin",
	}
	for _, name := range []string{
		"X-User", "X-User-Id", "X-User-Email", "X-User-Roles", "X-Auth-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-Forwarded-User",
		"X-Forwarded-Email", "X-Forwarded-Groups", "Remote-User", "X-Remote-User", "X-WebAuth-User", "Lilypad-User", "X-Lilypad-User",
		"Client-Cert", "Iv-User", "SM-User", "Impersonate-User", "X-Vouch-User", "X-Scope-OrgID", "X-Hasura-Role", "Shib-Session-ID", "EPPN",
		"X_User", "x-USER", "X_Forwarded_User", "X-Forwarded_User", "X_User_Id", "X_AUTH_USER",
	} {
		headers[name] = victim.Email
	}
	return headers
}

func forgedIdentityOfAStranger(t *testing.T, w *World) {
	victim := w.visitor(t).register(t)
	for name, value := range forged(victim) {
		v := w.visitor(t).with(name, value)
		for _, path := range []string{"/auth/session", "/api/frogs"} {
			if a := v.fetch(t, http.MethodGet, path); a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest {
				t.Errorf("%s with %s: %s: status %d, want 401 or 400", a.request, name, value, a.status)
			}
		}
		a := v.navigate(t, "/")
		if strings.Contains(a.body, victim.Email) || strings.Contains(a.body, victim.Name) || strings.Contains(a.body, "evil.example") {
			t.Errorf("%s with %s shows the victim", a.request, name)
		}
		if to := v.navigate(t, "/account").header.Get("Location"); strings.Contains(to, "evil.example") {
			t.Errorf("%s: redirected to %s, want no foreign host", name, to)
		}
	}
}

func forgedIdentityOfAUser(t *testing.T, w *World) {
	victim := w.visitor(t).register(t)
	v := w.visitor(t)
	who := v.register(t)
	for name, value := range forged(victim) {
		user := v.with(name, value)
		a := user.fetch(t, http.MethodGet, "/auth/session")
		if a.status == http.StatusBadRequest {
			continue // ambiguous requests are rejected
		}
		if a.want(t, http.StatusOK); !strings.Contains(a.body, who.Email) {
			t.Errorf("%s with %s, want the user of the session: %s", a.request, name, a.body)
		}
		user.fetch(t, http.MethodGet, "/api/frogs").want(t, http.StatusOK)
		page := user.navigate(t, "/account").want(t, http.StatusOK).body
		if !strings.Contains(page, who.Email) || strings.Contains(page, victim.Email) {
			t.Errorf("with %s the account page shows another user", name)
		}
		if a := user.navigate(t, "/admin"); a.status != http.StatusForbidden {
			t.Errorf("%s with %s: status %d, want 403", a.request, name, a.status)
		}
	}
}

func hopByHopDeletion(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	for _, list := range []string{"close, Authorization, X-User-Id, X-Request-Id", "Authorization", "keep-alive, AUTHORIZATION"} {
		user := v.with("Connection", list)
		if a := user.fetch(t, http.MethodGet, "/api/frogs"); a.status != http.StatusOK {
			t.Errorf("Connection: %s: %s: status %d, want 200", list, a.request, a.status)
		}
		if page := user.navigate(t, "/account").body; !strings.Contains(page, who.Email) {
			t.Errorf("Connection: %s: the account page does not show the user", list)
		}
	}
}

// forgedCookies: a request with a forged cookie is treated as one without, and the response clears
// the cookie.
func forgedCookies(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	genuine := v.jar.cookie
	parts := strings.Split(genuine, ".")
	if len(parts) != 5 {
		t.Fatalf("cookie of %d parts, want 5", len(parts))
	}
	changed := func(i int, to string) string {
		other := append([]string(nil), parts...)
		other[i] = to
		return strings.Join(other, ".")
	}
	last := parts[4][len(parts[4])-1]
	for what, value := range map[string]string{
		"nonsense":             "nonsense",
		"dots":                 "....",
		"another version":      changed(0, "v2"),
		"another family":       changed(2, strings.Repeat("A", len(parts[2]))),
		"the next generation":  changed(3, "2"),
		"a huge generation":    changed(3, "99999999999999999999"),
		"a negative one":       changed(3, "-1"),
		"a padded one":         changed(3, "0"+parts[3]),
		"another signature":    changed(4, strings.Repeat("A", len(parts[4]))),
		"no signature":         changed(4, ""),
		"one bit more":         changed(4, parts[4][:len(parts[4])-1]+string(rune(last^1))),
		"more behind it":       genuine + ".x",
		"a blank behind it":    genuine + "%20",
		"another site's token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
		"very much":            strings.Repeat("x", 3000),
	} {
		page := w.holder(t, value).navigate(t, "/")
		if page.status != http.StatusOK || !page.clearsCookie(t) {
			t.Errorf("%s: front page status %d, Set-Cookie %q; want 200 and a cleared cookie", what, page.status, page.header["Set-Cookie"])
		}
		if a := w.holder(t, value).fetch(t, http.MethodGet, "/api/frogs"); a.status != http.StatusUnauthorized || !a.clearsCookie(t) {
			t.Errorf("%s: %s: status %d, Set-Cookie %q; want 401 and a cleared cookie", what, a.request, a.status, a.header["Set-Cookie"])
		}
		if a := w.holder(t, value).navigate(t, "/account"); a.status != http.StatusSeeOther {
			t.Errorf("%s: %s: status %d, want 303", what, a.request, a.status)
		}
		w.holder(t, value).wantStranger(t)
	}
	w.holder(t, genuine).session(t) // the genuine cookie still works
}

// cookieOfAnUnknownRingKey: another replica may know the key, so the cookie is kept until the ring
// was reloaded.
func cookieOfAnUnknownRingKey(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	parts := strings.Split(v.jar.cookie, ".")
	parts[1] = strconv.FormatInt(time.Now().UnixNano(), 36) // nobody has shown it before
	forged := strings.Join(parts, ".")
	if page := w.holder(t, forged).navigate(t, "/"); page.status != http.StatusServiceUnavailable || len(page.cookies) > 0 {
		t.Errorf("front page status %d, Set-Cookie %q; want 503 without a cookie", page.status, page.header["Set-Cookie"])
	}
	if !w.RingInSecret {
		return
	}
	w.awaitEnd(t, forged)
	if page := w.holder(t, forged).navigate(t, "/"); page.status != http.StatusOK || !page.clearsCookie(t) {
		t.Errorf("after the reload of the ring: front page status %d, Set-Cookie %q; want 200 and a cleared cookie", page.status, page.header["Set-Cookie"])
	}
	v.session(t)
}

func cookieOfAnEndedSession(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	kept := v.jar.cookie
	v.sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	w.awaitEnd(t, kept)
	if page := w.holder(t, kept).navigate(t, "/"); page.status != http.StatusOK || !page.clearsCookie(t) {
		t.Errorf("front page status %d, Set-Cookie %q; want 200 and a cleared cookie", page.status, page.header["Set-Cookie"])
	}
	if to := w.holder(t, kept).navigate(t, "/account").wantRedirect(t); to.Path != "/login" {
		t.Errorf("redirected to %q, want the login page", to)
	}
	w.holder(t, kept).fetch(t, http.MethodGet, "/api/frogs").wantProblem(t, http.StatusUnauthorized)
}

func ambiguousCookies(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	genuine := v.jar.cookie
	for _, cookies := range []string{
		fmt.Sprintf("%s=%s; %s=x", cookieName, genuine, cookieName),
		fmt.Sprintf("%s=x; %s=%s", cookieName, cookieName, genuine),
		fmt.Sprintf("%s=%s; a=b; %s=%s", cookieName, genuine, cookieName, genuine),
		fmt.Sprintf("%s =%s", cookieName, genuine),
		fmt.Sprintf("%s\t=%s", cookieName, genuine),
		fmt.Sprintf("$Version=1; %s=%s", cookieName, genuine),
		fmt.Sprintf("a=b, %s=%s", cookieName, genuine),
	} {
		sender := w.visitor(t).with("Cookie", cookies)
		sender.wantStranger(t)
		sender.fetch(t, http.MethodGet, "/api/frogs").want(t, http.StatusUnauthorized)
		sender.navigate(t, "/").want(t, http.StatusOK)
	}
	v.session(t)
}
