package app_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/cookie"
)

// proofs are the headers by which a client may show the origin of a write, and whether the write is
// allowed with the sidecar's cookie and without it.
func proofs(own string) map[string]struct {
	pairs         []string
	with, without bool
} {
	scheme, host, _ := strings.Cut(own, "://")
	other := map[string]string{"http": "https", "https": "http"}[scheme]
	return map[string]struct {
		pairs         []string
		with, without bool
	}{
		"nothing":                         {nil, false, true},
		"nothing but a Referer":           {[]string{"Referer", own + "/account"}, false, true},
		"our origin":                      {[]string{"Origin", own}, true, true},
		"no origin":                       {[]string{"Origin", ""}, false, true},
		"our host with another scheme":    {[]string{"Origin", other + "://" + host}, false, true},
		"our host as a WebSocket's":       {[]string{"Origin", "wss://" + host}, false, true},
		"our host on another port":        {[]string{"Origin", own + "1"}, false, false},
		"our host with user information":  {[]string{"Origin", scheme + "://evil@" + host}, false, false},
		"our host below another":          {[]string{"Origin", own + ".evil.test"}, false, false},
		"another host":                    {[]string{"Origin", scheme + "://evil.test"}, false, false},
		"an opaque origin":                {[]string{"Origin", "null"}, false, false},
		"our own page":                    {[]string{"Sec-Fetch-Site", "same-origin"}, true, true},
		"the user":                        {[]string{"Sec-Fetch-Site", "none"}, true, true},
		"our own page without a referrer": {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, true, true},
		"a page of this site":             {[]string{"Sec-Fetch-Site", "same-site", "Origin", own}, false, false},
		"a page of another site":          {[]string{"Sec-Fetch-Site", "cross-site"}, false, false},
		"a word that no browser says":     {[]string{"Sec-Fetch-Site", "SAME-ORIGIN"}, false, false},
	}
}

// upgrade is a request for a WebSocket.
var upgrade = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "x", "Sec-Websocket-Version", "13"}

func TestAWriteWithOurCookieNeedsProofOfItsOrigin(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	dead := strings.Replace(c, "family0000000000000001", "family0000000000000009", 1)
	cookies := map[string][]string{
		"signed in":            {c},
		"among others":         {"theme=dark; " + c},
		"in a second field":    {"theme=dark", c},
		"of an ended session":  {dead},
		"of a former session":  {cookie.Former + strings.TrimPrefix(c, cookie.Name)},
		"damaged":              {cookie.Name + "=x"},
		"twice":                {c + "; " + c},
		"in another spelling":  {cookie.Name + " " + strings.TrimPrefix(c, cookie.Name)},
		"in another case":      {strings.ToUpper(cookie.Name) + strings.TrimPrefix(c, cookie.Name)},
		"of another's reading": {"$Version=1, " + c},
	}
	requests := map[string]struct {
		method string
		pairs  []string
	}{
		"POST": {"POST", nil}, "PUT": {"PUT", nil}, "PATCH": {"PATCH", nil}, "DELETE": {"DELETE", nil},
		"of a method that we do not know": {"PROPFIND", nil},
		"WebSocket":                       {"GET", upgrade},
	}
	for proof, p := range proofs("https://" + strings.TrimPrefix(w.url, "http://")) {
		for request, q := range requests {
			send := func(cookies ...string) reply {
				pairs := slices.Concat(q.pairs, p.pairs)
				for _, c := range cookies {
					pairs = append(pairs, "Cookie", c)
				}
				return w.send(q.method, "/public", "", pairs...)
			}
			before := w.hits()
			if r := send("theme=dark"); (r.status != http.StatusForbidden) != p.without || (w.hits() > before) != p.without {
				t.Errorf("%s from %s without our cookie: status %d, want allowed: %t", request, proof, r.status, p.without)
			}
			for whose, list := range cookies {
				before := w.hits()
				if r := send(list...); (r.status != http.StatusForbidden) != p.with || (w.hits() > before) != p.with {
					t.Errorf("%s from %s with the cookie %s: status %d, want allowed: %t", request, proof, whose, r.status, p.with)
				}
			}
		}
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		if r := w.send(method, "/public", "", "Cookie", c); r.status != http.StatusOK {
			t.Errorf("%s without proof: status %d, want 200", method, r.status)
		}
	}
}

// Logging a victim out, or in as somebody else, is a write too.
func TestOurOwnEndpointsNeedProofToo(t *testing.T) {
	for path, body := range map[string]string{
		"/auth/login": credentials(password), "/auth/register": `{"email":"a@b.c","name":"A","password":"` + password + `"}`,
		"/auth/logout": "{}", "/auth/form/discard": "{}",
	} {
		w := newWorld(t)
		c := w.login()
		before := w.auth.count()
		for proof, p := range proofs("https://" + strings.TrimPrefix(w.url, "http://")) {
			if p.with {
				continue
			}
			r := w.send("POST", path, body, append(p.pairs, "Content-Type", jsonType, "Cookie", c)...)
			if _, set := r.setCookie(t); r.status != http.StatusForbidden || set || w.auth.count() != before {
				t.Errorf("%s from %s: status %d, fields %v, want 403 and no effect", path, proof, r.status, r.header)
			}
		}
		if r := w.get("/account", "Cookie", c); r.status != http.StatusOK {
			t.Errorf("account page after %s: status %d, want 200", path, r.status)
		}
	}
}

// TLS may end in front of the sidecar, so the scheme of our origin is the browser's.
func TestTheSchemeOfOurOriginIsTheBrowsers(t *testing.T) {
	t.Parallel()
	behind := func(c *app.Config) { c.TrustedHops = 1 }
	for name, c := range map[string]struct {
		change []func(*app.Config)
		pairs  []string
		scheme string
	}{
		"nothing is said":             {nil, nil, "https"},
		"setting":                     {[]func(*app.Config){func(c *app.Config) { c.PublicScheme = "http" }}, nil, "http"},
		"anybody says http":           {nil, []string{"X-Forwarded-Proto", "http"}, "https"},
		"the ingress says http":       {[]func(*app.Config){behind}, []string{"X-Forwarded-Proto", "http"}, "http"},
		"the ingress says https":      {[]func(*app.Config){behind}, []string{"X-Forwarded-Proto", "https"}, "https"},
		"the ingress says nothing":    {[]func(*app.Config){behind}, nil, "https"},
		"the ingress says it and all": {[]func(*app.Config){behind}, []string{"X-Forwarded-Proto", "http, https"}, "https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.change...)
			cookie := w.login()
			for _, scheme := range []string{"http", "https"} {
				origin := scheme + "://" + strings.TrimPrefix(w.url, "http://")
				r := w.send("POST", "/account", "", append(c.pairs, "Cookie", cookie, "Origin", origin)...)
				if (r.status == http.StatusOK) != (scheme == c.scheme) {
					t.Errorf("%s: status %d, want 200 for the scheme %s only", origin, r.status, c.scheme)
				}
			}
		})
	}
}

func TestAProxyThatAsksNeedsProofOfItsClientsWrites(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	for proof, p := range proofs("https://frogs.test") {
		for request, q := range map[string]struct {
			method string
			pairs  []string
		}{"POST": {"POST", nil}, "WebSocket": {"GET", []string{"Sec-Websocket-Key", "x"}}} {
			pairs := slices.Concat(q.pairs, p.pairs)
			if r := w.ask(q.method, "/public", pairs...); (r.status == http.StatusOK) != p.without {
				t.Errorf("%s from %s without our cookie: status %d, want 200: %t", request, proof, r.status, p.without)
			}
			if r := w.ask(q.method, "/public", append(pairs, "Cookie", c)...); (r.status == http.StatusOK) != p.with {
				t.Errorf("%s from %s with our cookie: status %d, want 200: %t", request, proof, r.status, p.with)
			}
		}
	}
}
