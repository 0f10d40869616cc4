package app_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lilypad.example/services/pkg/look"
	"lilypad.example/sidecar/internal/app"
)

// hosted makes the fake auth service answer requests for pages with what it got, and the sidecar
// redirect to them.
func hosted(t *testing.T, rules string) (*world, *string) {
	t.Helper()
	var file string
	w := newWorld(t, func(c *app.Config) {
		file, c.LoginPath, c.RegisterPath, c.HomePath = c.RoutesFile, "/auth/login", "/auth/register", "/start"
		if rules == "" {
			return
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		upstreams, _, _ := strings.Cut(string(text), "routes:")
		write(t, file, []byte(upstreams+rules))
	})
	w.auth.set(func(a *auth) {
		a.pages = func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			answer(rw, http.StatusOK, seen{r.Method, r.URL.RequestURI(), string(body), r.Header})
		}
	})
	return w, &file
}

func TestPagesAreForwardedLikeAnApplications(t *testing.T) {
	w, _ := hosted(t, "brand: {name: Pond}\nroutes: [{prefix: /, upstream: app, policy: session}]")
	c := w.login()
	for _, request := range []string{"GET /auth/login?next=%2Fx", "HEAD /auth/login", "GET /auth/register", "GET /auth/logout", "GET /auth/account", "POST /auth/account/password", "GET /auth/nothing", "POST /auth/backchannel-logout/x"} {
		method, path, _ := strings.Cut(request, " ")
		r := w.send(method, path, "", "Cookie", c+"; theme=dark", "Sec-Fetch-Site", "same-origin", "Authorization", "Bearer forged", look.Header, "forged", "X-Forwarded-For", "192.0.2.66")
		if method == http.MethodHead {
			if r.status != http.StatusOK || r.body != "" {
				t.Errorf("%s: status %d, body %q, want 200 without a body", request, r.status, r.body)
			}
			continue
		}
		s := r.seen(t)
		if s.Method != method || s.Path != path {
			t.Errorf("%s: the auth service got %s %s", request, s.Method, s.Path)
		}
		if s.Header.Get("Cookie") != "theme=dark" || !strings.HasPrefix(s.Header.Get("Authorization"), "Bearer access-") || len(s.Header.Values("Authorization")) != 1 {
			t.Errorf("%s: Cookie %q, Authorization %q, want no cookie of ours and our token alone", request, s.Header.Get("Cookie"), s.Header.Values("Authorization"))
		}
		if strings.Contains(s.Header.Get("X-Forwarded-For"), "192.0.2.66") {
			t.Errorf("%s: X-Forwarded-For %q is the client's claim", request, s.Header.Get("X-Forwarded-For"))
		}
		site, err := look.DecodeSite(s.Header.Get(look.Header))
		if len(s.Header.Values(look.Header)) != 1 || err != nil || site.Name != "Pond" || site.Home != "/start" {
			t.Errorf("%s: brand %+v, error %v, want that of the policy file, once", request, site, err)
		}
		if r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store", request, r.header.Get("Cache-Control"))
		}
	}
	if s := w.get("/auth/account").seen(t); len(s.Header.Values("Authorization")) != 0 {
		t.Errorf("stranger: Authorization %q, want none", s.Header.Get("Authorization"))
	}
	if w.hits() != 0 {
		t.Errorf("%d requests reached the application, want none", w.hits())
	}
	if s := w.get("/x", "Cookie", c, look.Header, "forged", "lilypad-brand", "forged").seen(t); len(s.Header.Values(look.Header)) != 0 {
		t.Errorf("the application gets the brand %q, want none", s.Header.Values(look.Header))
	}
}

func TestPagesTakeWritesOfOurOwnOriginAlone(t *testing.T) {
	w, _ := hosted(t, "")
	c := w.login()
	before := w.auth.count()
	for _, proof := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.test"}, {}} {
		if r := w.send(http.MethodPost, "/auth/account/sessions/end-others", "", append(proof, "Cookie", c)...); r.status != http.StatusForbidden {
			t.Errorf("%v: status %d, want 403", proof, r.status)
		}
	}
	if n := w.auth.count() - before; n != 0 {
		t.Errorf("%d requests reached the auth service, want none", n)
	}
	if r := w.send(http.MethodPost, "/auth/account/password", strings.Repeat("x", 17<<10), "Cookie", c, "Sec-Fetch-Site", "same-origin"); r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: status %d, want 413", r.status)
	}
}

// A page that the auth service refuses because the token is too old is asked for again with a new
// one, or as a stranger's if the session has ended.
func TestAPageIsAskedForAgainWithANewToken(t *testing.T) {
	w, _ := hosted(t, "")
	c := w.login()
	var tokens []string
	w.auth.set(func(a *auth) {
		pages := a.pages
		a.pages = func(rw http.ResponseWriter, r *http.Request) {
			tokens = append(tokens, r.Header.Get("Authorization"))
			if len(tokens) == 1 {
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			pages(rw, r)
		}
	})
	if r := w.get("/auth/account", "Cookie", c); r.status != http.StatusOK || len(tokens) != 2 || tokens[0] == tokens[1] || tokens[1] == "" {
		t.Errorf("status %d, tokens %q, want 200 and two tokens", r.status, tokens)
	}
	w.auth.set(func(a *auth) { clear(a.sessions); tokens = nil })
	if r := w.get("/auth/account", "Cookie", c); r.status != http.StatusOK || len(tokens) != 2 || tokens[1] != "" {
		t.Errorf("ended session: status %d, tokens %q, want 200 for a stranger", r.status, tokens)
	}
}

func TestWithoutTheAuthServiceThePagesAre503InTheSameLook(t *testing.T) {
	var closed string
	w := newWorld(t, func(c *app.Config) {
		c.AuthURL, c.LoginPath, c.RegisterPath = "http://127.0.0.1:1", "/auth/login", "/auth/register"
		closed = c.AuthURL
	})
	for _, path := range []string{"/auth/login", "/auth/account", "/auth/nothing"} {
		r := w.get(path, "Accept", pageTypes)
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "Signing in and out does not work at the moment") || strings.Contains(r.body, closed) {
			t.Errorf("%s: status %d, header %v, want a 503 page that says what does not work: %s", path, r.status, r.header, r.body)
		}
		if !strings.Contains(r.body, `class="brand"`) || !strings.Contains(r.header.Get("Content-Security-Policy"), "style-src 'sha256-") {
			t.Errorf("%s: the page lacks the layout of all pages", path)
		}
	}
	if r := w.get("/auth/login", "Accept", jsonType); r.status != http.StatusServiceUnavailable || !strings.HasPrefix(r.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("program: status %d, Content-Type %q, want a 503 problem", r.status, r.header.Get("Content-Type"))
	}
}

func TestABrandIsOnRefusalsAndFollowsThePolicyFile(t *testing.T) {
	w, file := hosted(t, "brand: {name: First & Söhne, color: \"#336699\"}\nroutes: [{path: /a, upstream: app, policy: public}]")
	refusal := func() string { return w.get("/nothing", "Sec-Fetch-Mode", "navigate").body }
	if page := refusal(); !strings.Contains(page, "First &amp; Söhne") || !strings.Contains(page, "--pad:#336699") || !strings.Contains(page, `href="/start"`) {
		t.Errorf("refusal without the brand: %s", page)
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, *file+".new", []byte(strings.Replace(string(text), "First & Söhne", "Second", 1)))
	if err := os.Rename(*file+".new", *file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new name", func() bool { return strings.Contains(refusal(), "<span>Second</span>") })
}

// Whatever the policy says, following redirects comes to an end, at a page on which a person can
// sign in if that helps.
func TestNoPolicyMakesARedirectLoop(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	tried := 0
	for range 100 {
		rules := "routes:\n"
		used := map[string]bool{}
		for range 1 + random.IntN(5) {
			where := pick("path: /", "prefix: /", "prefix: /a", "path: /a/b", "prefix: /A/", "path: /login", "prefix: /start")
			if used[where] {
				continue
			}
			used[where] = true
			rules += "  - {" + where + ", upstream: app, policy: " + pick("public", "optional", "session", `"role:admin"`, "session, fresh: 1s", `session, deny: {page: /auth/login}`, `"role:x", deny: {page: /auth/register}`) + "}\n"
		}
		file := filepath.Join(t.TempDir(), "routes.yaml")
		write(t, file, []byte("upstreams: {app: \"http://127.0.0.1:1\"}\n"+rules))
		if _, err := app.ReadRoutes(file, "/auth/login"); err != nil {
			continue // such a policy never takes effect
		}
		tried++
		w, _ := hosted(t, rules)
		w.auth.set(func(a *auth) { a.age = 0 })
		user := w.login()
		w.auth.set(func(a *auth) { a.age = 1 << 40 })
		stale := w.login()
		for who, cookies := range map[string]string{"stranger": "", "user": user, "stale": stale, "forged": "__Host-Http-lilypad=x"} {
			for _, path := range []string{"/", "/a", "/a/b", "/A/x", "/login", "/start", "/auth/login", "/auth/account", "/auth/form", "/auth/login?next=/a&error=forbidden"} {
				at := path
				for steps := 0; ; steps++ {
					r := w.get(at, "Cookie", cookies, "Sec-Fetch-Mode", "navigate", "Accept", pageTypes)
					if r.status != http.StatusSeeOther {
						break
					}
					to, err := url.Parse(r.header.Get("Location"))
					if err != nil || to.Host != "" {
						t.Fatalf("%s\n%s at %s is sent to %q", rules, who, at, r.header.Get("Location"))
					}
					if steps == 3 {
						t.Fatalf("%s\n%s who asks for %s is redirected for ever, now to %s", rules, who, path, to)
					}
					at = to.String()
				}
			}
		}
		w.stop()
	}
	if tried < 25 {
		t.Errorf("only %d policies were valid", tried)
	}
}

// A proxy sends the pages to the browser port; the verify port redirects to them.
func TestForwardAuthLeadsToTheHostedPages(t *testing.T) {
	w := newWorld(t, func(c *app.Config) {
		c.LoginPath, c.RegisterPath = "/auth/login", "/auth/register"
		forwardAuth(c)
	})
	r := w.ask(http.MethodGet, "/account?x=y", "Sec-Fetch-Mode", "navigate")
	if to := r.header.Get("Location"); r.status != http.StatusSeeOther || to != "https://frogs.test/auth/login?next=%2Faccount%3Fx%3Dy" {
		t.Errorf("status %d to %q, want 303 to the login page of the client's origin", r.status, to)
	}
	if r := w.ask(http.MethodGet, "/auth/login", "Sec-Fetch-Mode", "navigate"); r.status != http.StatusNotFound {
		t.Errorf("question about /auth/login: status %d, want 404: it belongs to the sidecar", r.status)
	}
}

func TestLoginPathsUnderAuthAreThePagesThere(t *testing.T) {
	for path, good := range map[string]bool{
		"/auth/login": true, "/login": true, "/in/here": true, "/auth/session": false, "/auth/form": false, "/auth/account": false, "/auth": false, "/auth/": false, "login": false, "//evil.test": false,
		"/login?x": false, "/login#x": false, "/%61uth/login": false, "": false, "https://evil.test/": false,
	} {
		c := &app.Config{LoginPath: path, RegisterPath: "/auth/register"}
		err := c.Check()
		if err == nil {
			t.Fatal("an empty configuration has no fault")
		}
		if bad := strings.Contains(err.Error(), "LILYPAD_LOGIN_PATH"); bad == good {
			t.Errorf("%q: %v, want a fault: %t", path, err, !good)
		}
	}
}
