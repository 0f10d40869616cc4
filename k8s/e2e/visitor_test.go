package e2e

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// visitor is the HTTP client of a browser: it has an address, keeps the session cookie (Go's cookie
// jar does not send Secure cookies over http), does not follow redirects, and sends Fetch Metadata.
type visitor struct {
	w      *World
	client *http.Client
	jar    *jar
	extra  http.Header // sent with every request, spelled as it is here
}

// jar holds the value of the session cookie, or is empty.
type jar struct{ cookie string }

// visitor returns a new visitor.
func (w *World) visitor(t *testing.T) *visitor {
	t.Helper()
	return w.holder(t, "")
}

// holder returns a visitor with a value of the session cookie.
func (w *World) holder(t *testing.T, cookie string) *visitor {
	t.Helper()
	return &visitor{w: w, client: w.client(t, w.address()), jar: &jar{cookie}, extra: http.Header{}}
}

// tab returns the same visitor with a copy of the jar.
func (v *visitor) tab() *visitor {
	return &visitor{w: v.w, client: v.client, jar: &jar{v.jar.cookie}, extra: maps.Clone(v.extra)}
}

// with returns the same visitor with an additional header; an empty value removes a header.
func (v *visitor) with(name, value string) *visitor {
	other := &visitor{w: v.w, client: v.client, jar: v.jar, extra: maps.Clone(v.extra)}
	other.extra[name] = []string{value}
	return other
}

// answer is a complete response.
type answer struct {
	request string
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
}

// navigate requests a page like a link.
func (v *visitor) navigate(t *testing.T, path string) *answer {
	t.Helper()
	return v.do(t, http.MethodGet, path, "", "", navigation())
}

// fetch requests like fetch() in a script.
func (v *visitor) fetch(t *testing.T, method, path string) *answer {
	t.Helper()
	return v.do(t, method, path, "", "", script())
}

// sendJSON posts JSON like a script.
func (v *visitor) sendJSON(t *testing.T, path string, body any) *answer {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return v.do(t, http.MethodPost, path, "application/json", string(text), script())
}

// submit posts a form like a page without JavaScript.
func (v *visitor) submit(t *testing.T, path string, form url.Values) *answer {
	t.Helper()
	return v.do(t, http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode(), navigation())
}

func navigation() http.Header {
	return http.Header{
		"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-User": {"?1"},
		"Accept": {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	}
}

func script() http.Header {
	return http.Header{
		"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"},
		"Accept": {"application/json"},
	}
}

func (v *visitor) do(t *testing.T, method, path, contentType, body string, header http.Header) *answer {
	t.Helper()
	a := v.ask(t, method, path, contentType, body, header)
	if a.isRefused("rate_limited", http.StatusTooManyRequests) && v.w.ForgetLimits != nil {
		v.w.ForgetLimits(t)
		a = v.ask(t, method, path, contentType, body, header)
	}
	// Logins are shed under load (503); try again.
	for range 3 {
		if path == "/auth/login" && a.isRefused("unavailable", http.StatusServiceUnavailable) {
			a = v.ask(t, method, path, contentType, body, header)
		}
	}
	if c := a.ourCookie(t); c != nil {
		v.jar.cookie = c.Value
		if a.clearsCookie(t) {
			v.jar.cookie = ""
		}
	}
	return a
}

// ask makes one request, without retries.
func (v *visitor) ask(t *testing.T, method, path, contentType, body string, header http.Header) *answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, v.w.BaseURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("User-Agent", "lilypad-e2e")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if method != http.MethodGet && method != http.MethodHead {
		req.Header.Set("Origin", v.w.BaseURL)
	}
	if v.jar.cookie != "" {
		req.Header.Set("Cookie", cookieName+"="+v.jar.cookie)
	}
	for name, values := range v.extra {
		req.Header.Del(name)
		if values[0] != "" {
			req.Header[name] = values
		}
	}
	resp, err := v.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return &answer{request: method + " " + path, status: resp.StatusCode, header: resp.Header, cookies: resp.Cookies(), body: string(text)}
}

// isRefused reports whether a request was refused with an error code, to a form or in a problem
// document.
func (a *answer) isRefused(code string, status int) bool {
	return a.status == status || strings.Contains(a.header.Get("Location"), "error="+code)
}

// ourCookie returns the session cookie that the response sets, or nil.
func (a *answer) ourCookie(t *testing.T) *http.Cookie {
	t.Helper()
	var ours *http.Cookie
	for _, c := range a.cookies {
		if c.Name == cookieName {
			if ours != nil {
				t.Errorf("%s sets the session cookie twice", a.request)
			}
			ours = c
		}
	}
	return ours
}

// clearsCookie reports whether the response clears the session cookie.
func (a *answer) clearsCookie(t *testing.T) bool {
	t.Helper()
	c := a.ourCookie(t)
	return c != nil && (c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && c.Expires.Before(time.Now()))
}

// want checks the status and returns the response.
func (a *answer) want(t *testing.T, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: status %d, want %d: %s", a.request, a.status, status, shorten(a.body))
	}
	return a
}

// wantRedirect checks for a 303 and returns its Location.
func (a *answer) wantRedirect(t *testing.T) *url.URL {
	t.Helper()
	a.want(t, http.StatusSeeOther)
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		t.Fatalf("%s: Location: %v", a.request, err)
	}
	return location
}

// wantProblem checks for a problem document (RFC 9457) and returns it.
func (a *answer) wantProblem(t *testing.T, status int) problem {
	t.Helper()
	a.want(t, status)
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/problem+json") {
		t.Errorf("%s: Content-Type %q, want that of a problem document", a.request, ct)
	}
	var p problem
	a.decode(t, &p)
	if p.Status != status {
		t.Errorf("%s: status %d in the body, want %d", a.request, p.Status, status)
	}
	return p
}

type problem struct {
	Status int               `json:"status"`
	Code   string            `json:"code"`
	Errors []json.RawMessage `json:"errors"`
}

func (a *answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%s: %v in %s", a.request, err, shorten(a.body))
	}
}

func shorten(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// register creates an account and signs the visitor in.
func (v *visitor) register(t *testing.T) account {
	t.Helper()
	who := newAccount()
	v.sendJSON(t, "/auth/register", map[string]string{"email": who.Email, "name": who.Name, "password": who.Password}).want(t, http.StatusCreated)
	return who
}

// login signs the visitor in.
func (v *visitor) login(t *testing.T, who account) {
	t.Helper()
	v.sendJSON(t, "/auth/login", map[string]string{"email": who.Email, "password": who.Password}).want(t, http.StatusOK)
}

// session is the response of GET /auth/session.
type session struct {
	User struct {
		Email string   `json:"email"`
		Name  string   `json:"name"`
		Roles []string `json:"roles"`
	} `json:"user"`
	SID       string `json:"sid"`
	ExpiresAt string `json:"expires_at"`
}

// session returns the session of the visitor, who must be signed in.
func (v *visitor) session(t *testing.T) session {
	t.Helper()
	var s session
	v.fetch(t, http.MethodGet, "/auth/session").want(t, http.StatusOK).decode(t, &s)
	return s
}

// wantStranger checks that the visitor is not signed in.
func (v *visitor) wantStranger(t *testing.T) {
	t.Helper()
	v.fetch(t, http.MethodGet, "/auth/session").want(t, http.StatusUnauthorized)
}
