package app_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/cookie"
)

func TestPageSignedIn(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	before := w.auth.count()
	for range 5 {
		s := w.get("/?a=b%20c", "Cookie", c+"; theme=dark").seen(t)
		if got := s.Header.Values("Authorization"); len(got) != 1 || !strings.HasPrefix(got[0], "Bearer access-") {
			t.Errorf("Authorization %q, want one access token", got)
		}
		// The sidecar's cookies are removed, others pass.
		if got := s.Header.Get("Cookie"); got != "theme=dark" || s.Path != "/?a=b%20c" {
			t.Errorf("Cookie %q, path %s, want theme=dark and the path unchanged", got, s.Path)
		}
	}
	if n := w.auth.count() - before; n != 0 {
		t.Errorf("%d calls for a token in memory, want 0", n)
	}
}

func TestStrangersPassWhereTheyMayAndTouchNoStore(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/public", "/other/page"} {
		if s := w.get(path).seen(t); s.Header.Get("Authorization") != "" {
			t.Errorf("%s: fields %v, want no Authorization", path, s.Header)
		}
	}
	if n := w.auth.count(); n != 0 {
		t.Errorf("%d calls of the auth service, want 0", n)
	}
}

func TestPublicRoutesGetNoToken(t *testing.T) {
	w := newWorld(t)
	if s := w.get("/public", "Cookie", w.login()).seen(t); s.Header.Get("Authorization") != "" || s.Header.Get("Cookie") != "" {
		t.Errorf("the application got fields %v, want no Authorization and no Cookie", s.Header)
	}
}

func TestTheRightKindOfRefusal(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		method string
		pairs  []string
		status int
	}{
		"navigation":                  {"GET", []string{"Sec-Fetch-Mode", "navigate"}, 303},
		"navigation, HEAD":            {"HEAD", []string{"Sec-Fetch-Mode", "navigate"}, 303},
		"navigation, an old browser":  {"GET", []string{"Accept", pageTypes}, 303},
		"fetch":                       {"GET", []string{"Sec-Fetch-Mode", "cors", "Accept", pageTypes}, 401},
		"fetch of our own":            {"GET", []string{"Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Site", "same-origin", "Accept", pageTypes}, 401},
		"image":                       {"GET", []string{"Sec-Fetch-Mode", "no-cors", "Accept", "image/avif,*/*"}, 401},
		"XHR, an old browser":         {"GET", []string{"X-Requested-With", "XMLHttpRequest", "Accept", pageTypes}, 401},
		"fetch, an old browser":       {"GET", []string{"Accept", "*/*"}, 401},
		"JSON":                        {"GET", []string{"Accept", jsonType}, 401},
		"program":                     {"GET", nil, 401},
		"program, HEAD":               {"HEAD", []string{"Accept", "*/*"}, 401},
		"posted form":                 {"POST", []string{"Sec-Fetch-Mode", "navigate", "Content-Type", form, "Accept", pageTypes}, 401},
		"posted form, an old browser": {"POST", []string{"Content-Type", form, "Accept", pageTypes, "Origin", w.url}, 401},
		"posted JSON":                 {"POST", []string{"Content-Type", jsonType, "Accept", jsonType}, 401},
		"PUT":                         {"PUT", []string{"Sec-Fetch-Mode", "cors", "Accept", pageTypes}, 401},
		"DELETE, an old browser":      {"DELETE", []string{"Accept", pageTypes}, 401},
		"preflight":                   {"OPTIONS", []string{"Sec-Fetch-Mode", "cors", "Access-Control-Request-Method", "PUT"}, 401},
		"WebSocket from nowhere else": {"GET", []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "x", "Sec-Websocket-Version", "13"}, 401},
		"WebSocket":                   {"GET", []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "x", "Sec-Websocket-Version", "13", "Sec-Fetch-Mode", "websocket", "Sec-Fetch-Site", "same-origin"}, 401},
	} {
		r := w.send(c.method, "/account?tab=a%20b", "", c.pairs...)
		if r.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, r.status, c.status, r.body)
		}
		if want := "/login?next=" + url.QueryEscape("/account?tab=a%20b"); r.status == 303 && r.header.Get("Location") != want {
			t.Errorf("%s: Location %s, want %s", name, r.header.Get("Location"), want)
		}
		if r.status == 401 && (r.header.Get("WWW-Authenticate") == "" || r.header.Get("Location") != "") {
			t.Errorf("%s: fields %v, want a challenge and no Location", name, r.header)
		}
		want := "application/problem+json"
		if strings.HasPrefix(name, "posted form") { // sent by a person, who gets a page
			want = "text/html; charset=utf-8"
		}
		if got := r.header.Get("Content-Type"); r.status == 401 && got != want {
			t.Errorf("%s: Content-Type %s, want %s", name, got, want)
		}
		if r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store", name, r.header.Get("Cache-Control"))
		}
	}
	if w.hits() != 0 {
		t.Error("a refused request reached the application")
	}
}

func TestRolesAreEnforced(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	if r := w.get("/admin/x", "Cookie", c); r.status != http.StatusForbidden || w.hits() != 0 {
		t.Errorf("without the role: status %d, want 403; %d hits", r.status, w.hits())
	}
	if r := w.get("/admin/x"); r.status != http.StatusUnauthorized {
		t.Errorf("stranger: status %d, want 401", r.status)
	}
	w.auth.set(func(a *auth) { a.roles = []string{"admin"} })
	if r := w.get("/admin/x", "Cookie", w.login()); r.status != http.StatusOK {
		t.Errorf("with the role: status %d, want 200", r.status)
	}
}

func TestWritesFromElsewhereAreRefused(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	before := w.auth.count()
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range []string{"/", "/public", "/api/frogs/x/pet", "/auth/login", "/auth/register", "/auth/logout"} {
			for _, proof := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
				if r := w.send(method, path, "", append(proof, "Cookie", c)...); r.status != http.StatusForbidden {
					t.Errorf("%s %s %v: status %d, want 403", method, path, proof, r.status)
				}
			}
		}
	}
	// A WebSocket is opened with a GET request that carries the cookie.
	if r := w.get("/", "Cookie", c, "Connection", "Upgrade", "Upgrade", "websocket", "Origin", "https://evil.test"); r.status != http.StatusForbidden {
		t.Errorf("WebSocket: status %d, want 403", r.status)
	}
	if w.hits() != 0 || w.auth.count() != before {
		t.Errorf("%d requests reached the application and %d calls the auth service, want none", w.hits(), w.auth.count()-before)
	}
}

func TestSafeMethodsChangeNothing(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range []string{"/auth/logout", "/auth/login", "/auth/register", "/auth/logout?_method=POST"} {
			r := w.send(method, path, "", "Cookie", c, "X-HTTP-Method-Override", "POST")
			// The auth service may have a page there; the fake one has none.
			if _, set := r.setCookie(t); r.status != http.StatusNotFound || set {
				t.Errorf("%s %s: status %d, fields %v, want 404 and no cookie", method, path, r.status, r.header)
			}
		}
	}
	if r := w.send(http.MethodPost, "/auth/session", "", "Cookie", c, "Sec-Fetch-Site", "same-origin"); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != http.MethodGet {
		t.Errorf("POST /auth/session: status %d, Allow %q, want 405 and GET", r.status, r.header.Get("Allow"))
	}
	s := w.get("/", "Cookie", c, "X-Http-Method-Override", "DELETE", "X-Method-Override", "DELETE").seen(t)
	if s.Method != http.MethodGet || s.Header.Get("X-Http-Method-Override") != "" || s.Header.Get("Authorization") == "" {
		t.Errorf("the application got %+v, want a GET without an override", s)
	}
}

func TestHeadersOfTheClientAreNoIdentity(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	forged := []string{
		"Authorization", "Bearer forged", "X-User-Id", "forged", "X-User", "forged", "X_User", "forged", "x-USER", "forged", "X-Auth-Request-Email", "forged",
		"X-Forwarded-User", "forged", "X_Forwarded_User", "forged", "X-Forwarded_User", "forged", "X-Real-Ip", "forged", "Forwarded", "for=forged",
		"X-Forwarded-For", "forged", "Remote-User", "forged", "X-Remote-User", "forged", "X-Lilypad-User", "forged",
		"Connection", "close, Authorization, X-User-Id, X-Request-Id, Cookie",
	}
	for name, pairs := range map[string][]string{"stranger": forged, "signed in": append([]string{"Cookie", c}, forged...)} {
		s := w.get("/", pairs...).seen(t)
		for field, values := range s.Header {
			if strings.Contains(strings.Join(values, " "), "forged") {
				t.Errorf("%s: the application got %s: %s, want it removed", name, field, values)
			}
		}
		if got := s.Header.Values("Authorization"); (name == "signed in") != (len(got) == 1) {
			t.Errorf("%s: Authorization %q, want one only if signed in", name, got)
		}
		if len(s.Header.Values("X-Request-Id")) != 1 || s.Header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s: fields %v, want one X-Request-Id and the peer's X-Forwarded-For", name, s.Header)
		}
	}
}

func TestTheApplicationCannotSetOurCookie(t *testing.T) {
	w := newWorld(t)
	w.app = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Add("Set-Cookie", cookie.Name+"=stolen; Path=/")
		rw.Header().Add("Set-Cookie", "theme=dark")
		return false
	}
	r := w.get("/", "Cookie", w.login())
	if got := r.header.Values("Set-Cookie"); len(got) != 1 || got[0] != "theme=dark" {
		t.Errorf("Set-Cookie %q, want only theme=dark", got)
	}
}

func TestForgedExpiredAndDoubledCookiesAreStrangersAndCleared(t *testing.T) {
	w := newWorld(t)
	good := w.login()
	for name, c := range map[string]string{
		"forged":   cookie.Name + "=v1.k1.family0000000000000001.1." + strings.Repeat("x", 43),
		"unknown":  cookie.Name + "=v1.k1.family9999999999999999.1." + strings.Repeat("m", 43),
		"nonsense": cookie.Name + "=../../etc/passwd",
		"empty":    cookie.Name + "=",
		"doubled":  good + "; " + cookie.Name + "=v1.a.b.1.c",
	} {
		r := w.get("/", "Cookie", c)
		if r.status != http.StatusOK || r.seen(t).Header.Get("Authorization") != "" {
			t.Errorf("%s: status %d, want 200 without a token: %s", name, r.status, r.body)
		}
		if value, set := r.setCookie(t); !set || value != "" {
			t.Errorf("%s: fields %v, want the cookie cleared", name, r.header)
		}
		if r := w.get("/account", "Cookie", c, "Sec-Fetch-Mode", "navigate"); r.status != http.StatusSeeOther {
			t.Errorf("%s: status %d, want 303", name, r.status)
		} else if value, set := r.setCookie(t); !set || value != "" {
			t.Errorf("%s: redirect to the login page: fields %v, want the cookie cleared", name, r.header)
		}
	}
	if s := w.get("/", "Cookie", good).seen(t); s.Header.Get("Authorization") == "" {
		t.Error("the valid session is affected")
	}
}

func TestTheSuccessorLeavesWithTheAnswerThatCausedIt(t *testing.T) {
	w := newWorld(t)
	w.auth.set(func(a *auth) { a.life = 1 })
	c := w.login()
	w.auth.set(func(a *auth) { a.life = 300 })
	deadline := time.Now().Add(10 * time.Second)
	for {
		r := w.get("/", "Cookie", c)
		if value, set := r.setCookie(t); set {
			if !strings.HasSuffix(c[:strings.LastIndexByte(c, '.')], ".1") || !strings.Contains(value, ".2.") {
				t.Errorf("cookie %s was replaced by %s, want generation 2 after 1", c, value)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the cookie was not rotated within 10 seconds")
		}
	}
	// The rotated cookie is sent until the browser presents it.
	r := w.get("/", "Cookie", c)
	value, set := r.setCookie(t)
	if !set || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("fields %v, want the rotated cookie and no-store", r.header)
	}
	if _, set := w.get("/", "Cookie", cookie.Name+"="+value).setCookie(t); set {
		t.Error("the rotated cookie is still sent after the browser presented it")
	}
}

func TestNoCookieOnWhatASharedCacheMayKeep(t *testing.T) {
	w := newWorld(t)
	for control, c := range map[string]struct {
		want string
		set  bool
	}{
		"":                                 {"no-store", true},
		"public, max-age=60":               {"public, max-age=60", false},
		"max-age=60":                       {"max-age=60", false},
		"S-MaxAge=60":                      {"S-MaxAge=60", false},
		"private, max-age=60":              {"private, max-age=60", true},
		"no-cache":                         {"private, no-cache", true},
		"max-age=0, must-revalidate":       {"private, max-age=0, must-revalidate", true},
		"private, no-store":                {"private, no-store", true},
		"public, max-age=1, private=field": {"public, max-age=1, private=field", true},
	} {
		w.app = func(rw http.ResponseWriter, _ *http.Request) bool {
			if control != "" {
				rw.Header().Set("Cache-Control", control)
			}
			return false
		}
		r := w.get("/", "Cookie", cookie.Name+"=nonsense") // the response clears the cookie
		_, set := r.setCookie(t)
		if got := r.header.Get("Cache-Control"); got != c.want || set != c.set {
			t.Errorf("%q: Cache-Control %q, Set-Cookie %v, want %q and %v", control, got, set, c.want, c.set)
		}
	}
}

func TestA401OfTheApplicationIsReplayedOnceWithANewToken(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	var tokens []string
	refuse := func(first int) {
		tokens = nil
		w.app = func(rw http.ResponseWriter, r *http.Request) bool {
			tokens = append(tokens, r.Header.Get("Authorization"))
			if len(tokens) > first {
				return false
			}
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
	}
	// ask sends a request and returns its status and the requests and calls it caused.
	ask := func(method, body string) (status, requests, calls int) {
		before := w.auth.count()
		r := w.send(method, "/account", body, "Cookie", c, "Sec-Fetch-Site", "same-origin")
		return r.status, len(tokens), w.auth.count() - before
	}
	const always = 1000
	for _, step := range []struct {
		name, method, body      string
		refusals                int
		status, requests, calls int
	}{
		{"a token that is not accepted any more", "GET", "", 1, 200, 2, 1},
		{"and the new one later", "HEAD", "", 1, 200, 2, 1},
		{"an application that refuses everything", "GET", "", always, 401, 2, 1},
		{"and goes on", "GET", "", always, 401, 1, 0},
		{"and on", "OPTIONS", "", always, 401, 1, 0},
		{"a request that does something", "POST", "", always, 401, 1, 0},
		{"one with a body", "POST", "body", always, 401, 1, 0},
		{"another one", "DELETE", "", always, 401, 1, 0},
		{"one that accepts again", "GET", "", 0, 200, 1, 0},
	} {
		refuse(step.refusals)
		status, requests, calls := ask(step.method, step.body)
		if status != step.status || requests != step.requests || calls != step.calls {
			t.Errorf("%s: status %d after %d requests and %d calls of the auth service; want %d, %d, %d",
				step.name, status, requests, calls, step.status, step.requests, step.calls)
		}
		if requests == 2 && tokens[0] == tokens[1] {
			t.Errorf("%s: the same token %q was sent twice", step.name, tokens[0])
		}
	}
	// Requests with side effects are not repeated with a token that was not refused before either.
	c = w.login()
	refuse(always)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		tokens = nil
		if status, requests, calls := ask(method, ""); status != 401 || requests != 1 || calls != 0 {
			t.Errorf("%s: status %d after %d requests and %d calls, want 401, 1 and 0", method, status, requests, calls)
		}
	}
}

func TestForms(t *testing.T) {
	w := newWorld(t)
	post := func(path string, values url.Values) reply {
		return w.send("POST", path, values.Encode(), "Content-Type", form, "Sec-Fetch-Mode", "navigate")
	}
	for name, c := range map[string]struct {
		path     string
		values   url.Values
		location string
		cookie   bool
	}{
		"login":               {"/auth/login", url.Values{"email": {email}, "password": {password}}, "/", true},
		"login, then back":    {"/auth/login", url.Values{"email": {email}, "password": {password}, "next": {"/account?a=b"}}, "/account?a=b", true},
		"next in the address": {"/auth/login?next=%2Faccount", url.Values{"email": {email}, "password": {password}}, "/account", true},
		"hostile next":        {"/auth/login", url.Values{"email": {email}, "password": {password}, "next": {"//evil.test"}}, "/", true},
		"wrong password":      {"/auth/login", url.Values{"email": {email}, "password": {"x"}, "next": {"/account"}}, "/login?email=fred%40pond.test&error=invalid_credentials&next=%2Faccount", false},
		"register":            {"/auth/register", url.Values{"email": {"a@b.c"}, "name": {"A"}, "password": {password}}, "/", true},
		"register, invalid":   {"/auth/register", url.Values{"email": {"a@b.c"}, "name": {"A & B"}, "password": {"short"}}, "/register?email=a%40b.c&error=invalid_fields&field=password%3Atoo_short&name=A+%26+B", false},
	} {
		r := post(c.path, c.values)
		if r.status != http.StatusSeeOther || r.header.Get("Location") != c.location {
			t.Errorf("%s: status %d to %s, want 303 to %s", name, r.status, r.header.Get("Location"), c.location)
		}
		if value, set := r.setCookie(t); set != c.cookie || set && value == "" {
			t.Errorf("%s: fields %v, want session cookie: %t", name, r.header, c.cookie)
		}
	}
	if strings.Contains(w.logs.String(), password) {
		t.Error("the log contains the password")
	}
}

func TestJSON(t *testing.T) {
	w := newWorld(t)
	r := w.send("POST", "/auth/register", `{"email":"a@b.c","name":"A","password":"`+password+`"}`, "Content-Type", jsonType)
	if _, set := r.setCookie(t); r.status != http.StatusCreated || !set {
		t.Errorf("register: status %d, want 201: %s", r.status, r.body)
	}
	c := w.login()
	r = w.get("/auth/session", "Cookie", c)
	var s struct {
		User struct {
			Email, Name string
			Roles       []string
		}
		Sid       string
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(r.body), &s); err != nil || r.status != http.StatusOK || s.User.Email != email || s.User.Roles == nil || s.Sid == "" || s.ExpiresAt.IsZero() {
		t.Errorf("session: status %d, want 200: %s, %v", r.status, r.body, err)
	}
	for name, c := range map[string]struct {
		path, body, contentType string
		status                  int
	}{
		"wrong password": {"/auth/login", credentials("x"), jsonType, 401},
		"malformed":      {"/auth/login", "{", jsonType, 400},
		"unknown field":  {"/auth/login", `{"colour":1}`, jsonType, 400},
		"other type":     {"/auth/login", "x", "text/plain", 415},
		"too large":      {"/auth/login", strings.Repeat("x", 20<<10), jsonType, 413},
		"invalid fields": {"/auth/register", `{"email":"a@b.c","name":"A","password":"short"}`, jsonType, 422},
	} {
		r := w.send("POST", c.path, c.body, "Content-Type", c.contentType)
		if r.status != c.status || r.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, want %d and a problem: %s", name, r.status, c.status, r.body)
		}
	}
	if r := w.get("/auth/session"); r.status != http.StatusUnauthorized {
		t.Errorf("stranger: status %d, want 401", r.status)
	}
	r = w.send("POST", "/auth/logout", "", "Cookie", c, "Sec-Fetch-Site", "same-origin")
	if value, set := r.setCookie(t); r.status != http.StatusNoContent || !set || value != "" || r.header.Get("Clear-Site-Data") == "" {
		t.Errorf("logout: status %d, fields %v, want 204, the cookie cleared and Clear-Site-Data", r.status, r.header)
	}
	if r := w.get("/auth/session", "Cookie", c); r.status != http.StatusUnauthorized {
		t.Errorf("after logout: status %d, want 401", r.status)
	}
}

func TestLogoutAnswersInTheSendersWay(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		pairs  []string
		status int
	}{
		"form":                 {[]string{"Content-Type", form}, 303},
		"form in UTF-8":        {[]string{"Content-Type", form + "; charset=UTF-8"}, 303},
		"JSON":                 {[]string{"Content-Type", jsonType}, 204},
		"JSON that takes HTML": {[]string{"Content-Type", jsonType, "Accept", jsonType + "," + pageTypes}, 204},
		"nothing, a page":      {[]string{"Sec-Fetch-Mode", "navigate"}, 303},
		"nothing, a fetch":     {[]string{"Sec-Fetch-Mode", "cors", "Accept", "*/*"}, 204},
	} {
		if r := w.send("POST", "/auth/logout", "", append(c.pairs, "Cookie", w.login(), "Sec-Fetch-Site", "same-origin")...); r.status != c.status {
			t.Errorf("%s: status %d, want %d", name, r.status, c.status)
		}
	}
}

func TestANewSessionAtEachLogin(t *testing.T) {
	w := newWorld(t)
	first := w.login()
	r := w.send("POST", "/auth/login", credentials(password), "Content-Type", jsonType, "Cookie", first, "Sec-Fetch-Site", "same-origin")
	second, _ := r.setCookie(t)
	if second == "" || first == cookie.Name+"="+second {
		t.Fatalf("cookie %s, then %s, want a new session", first, second)
	}
	if r := w.get("/account", "Cookie", first); r.status != http.StatusUnauthorized {
		t.Errorf("the old cookie: status %d, want 401", r.status)
	}
	if r := w.get("/account", "Cookie", cookie.Name+"="+second); r.status != http.StatusOK {
		t.Errorf("the new cookie: status %d, want 200", r.status)
	}
}

func TestNoLogLineHoldsASecret(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	w.get("/?secret=planted", "Cookie", c, "Authorization", "Bearer planted")
	w.send("POST", "/auth/logout", "", "Cookie", c, "Sec-Fetch-Site", "same-origin")
	// The log line is written after the response: wait for the one of the last request.
	const last = `"path":"/auth/logout"`
	for deadline := time.Now().Add(time.Minute); !strings.Contains(w.logs.String(), last) && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	logs := w.logs.String()
	for _, secret := range []string{"planted", strings.TrimPrefix(c, cookie.Name+"="), password, "access-family"} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log contains %s", secret)
		}
	}
	if !strings.Contains(logs, last) {
		t.Error("the log has no line for the last request")
	}
}

func TestTheAccessLogIsASetting(t *testing.T) {
	for _, c := range []struct {
		log          string
		sample       int
		fine, failed int // log lines of three successful and three failed requests
	}{{"all", 1, 3, 3}, {"sampled", 1, 3, 3}, {"sampled", 1_000_000_000, 0, 3}, {"errors", 1, 0, 3}, {"none", 1, 0, 0}} {
		w := newWorld(t, func(s *app.Config) { s.AccessLog, s.AccessLogSample = c.log, c.sample })
		w.app = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/public" {
				return false
			}
			rw.WriteHeader(http.StatusInternalServerError)
			return true
		}
		for range 3 {
			w.get("/public")
			w.get("/broken")
		}
		w.stop() // the log line is written after the response
		fine := strings.Count(w.logs.String(), `"msg":"request","method":"GET","path":"/public","status":200`)
		failed := strings.Count(w.logs.String(), `"msg":"request","method":"GET","path":"/broken","status":500`)
		if fine != c.fine || failed != c.failed {
			t.Errorf("%s, sample %d: %d lines of successful and %d of failed requests, want %d and %d", c.log, c.sample, fine, failed, c.fine, c.failed)
		}
	}
}
