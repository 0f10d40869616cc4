package account_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/fakes"
)

const (
	firefoxOnLinux  = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	chromeOnAndroid = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"
)

// open returns a world in which Ann has three sessions, and the token of one of them.
func open(t *testing.T) (w *fakes.World, ann string) {
	t.Helper()
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Add(fakes.Person{Sub: "ann", Email: "ann@example.org", Name: "Ann"})
	w.Add(fakes.Person{Sub: "bob", Email: "bob@example.org", Name: "Bob"})
	noon := fakes.Noon()
	w.Begin("ann", api.SessionInfo{Sid: fakes.SessionID("old"), Device: "", Begun: noon.AddDate(0, 0, -9), Seen: noon.AddDate(0, 0, -8)})
	w.Begin("ann", api.SessionInfo{Sid: fakes.SessionID("phone"), Device: chromeOnAndroid, Begun: noon.AddDate(0, 0, -1), Seen: noon.Add(-3 * time.Hour)})
	w.Begin("ann", api.SessionInfo{Sid: fakes.SessionID("ann"), Device: firefoxOnLinux, Begun: noon.Add(-time.Hour), Seen: noon})
	w.Begin("bob", api.SessionInfo{Sid: fakes.SessionID("bob"), Device: firefoxOnLinux, Begun: noon, Seen: noon})
	if ann, err = w.Token("ann"); err != nil {
		t.Fatal(err)
	}
	return w, ann
}

func do(t *testing.T, w *fakes.World, method, path, as string, change ...func(*http.Request)) (*httptest.ResponseRecorder, *goquery.Document) {
	t.Helper()
	rec := w.Do(t.Context(), method, path, as, change...)
	d, err := goquery.NewDocumentFromReader(strings.NewReader(rec.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return rec, d
}

// session returns a form that names the session to end.
func session(id string) func(*http.Request) { return fakes.Form(url.Values{"session": {id}}) }

func TestEachSessionIsARowAndThisOneComesFirst(t *testing.T) {
	w, ann := open(t)
	rec, d := do(t, w, http.MethodGet, "/account", ann)
	if rec.Code != http.StatusOK || d.Find("#sessions h2").Text() != "Where you are signed in" {
		t.Fatalf("status %d, sessions section %q, want 200 and its heading", rec.Code, d.Find("#sessions").Text())
	}
	want := []struct{ device, badge, seen, begun, end string }{
		{"Firefox on Linux", "this browser", "Last seen just now", "Since 23 Nov 2026", ""},
		{"Chrome on Android", "", "Last seen 3 hours ago", "Since 22 Nov 2026", fakes.SessionID("phone")},
		{"Unknown device", "", "Last seen on 15 November 2026", "Since 14 Nov 2026", fakes.SessionID("old")},
	}
	rows := d.Find(".session")
	if rows.Length() != len(want) {
		t.Fatalf("%d rows, want %d", rows.Length(), len(want))
	}
	rows.Each(func(i int, s *goquery.Selection) {
		for selector, text := range map[string]string{
			".session-device b": want[i].device, ".tag": want[i].badge, ".session-seen": want[i].seen, ".session-begun": want[i].begun,
		} {
			if got := s.Find(selector).Text(); got != text {
				t.Errorf("row %d, %s: %q, want %q", i, selector, got, text)
			}
		}
		if end := s.Find(`form[method=post][action="/account/sessions/end"] input[name=session]`).AttrOr("value", ""); end != want[i].end {
			t.Errorf("row %d: ends session %q, want %q", i, end, want[i].end)
		}
	})
	if label := rows.Eq(1).Find("button").AttrOr("aria-label", ""); label != "End the session of Chrome on Android" {
		t.Errorf("label %q, want it to name the device", label)
	}
	if d.Find(`form[method=post][action="/account/sessions/end-others"] button`).Text() != "End all others" {
		t.Error("no button to end all other sessions")
	}
}

func TestAloneThereIsNothingToEnd(t *testing.T) {
	w, _ := open(t)
	bob, err := w.Token("bob")
	if err != nil {
		t.Fatal(err)
	}
	_, d := do(t, w, http.MethodGet, "/account", bob)
	if d.Find(".session").Length() != 1 || d.Find("#sessions form").Length() != 0 || d.Find(".session .tag").Text() != "this browser" || !strings.Contains(d.Find("#sessions .lead").Text(), "Here only") {
		t.Errorf("sessions section %q, want one session and no button to end it", d.Find("#sessions").Text())
	}
}

func TestEndingOneSession(t *testing.T) {
	w, ann := open(t)
	rec, _ := do(t, w, http.MethodPost, "/account/sessions/end", ann, session(fakes.SessionID("phone")))
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/account?ended=one" {
		t.Fatalf("status %d to %q, want 303 to /account?ended=one", rec.Code, rec.Header().Get("Location"))
	}
	if left := w.Sessions("ann"); !slices.Equal(left, []string{fakes.SessionID("old"), fakes.SessionID("ann")}) {
		t.Errorf("sessions %q, want the phone ended only", left)
	}
	if _, d := do(t, w, http.MethodGet, rec.Header().Get("Location"), ann); d.Find(".toast[role=status]").Text() != "That session was ended." || d.Find(".session").Length() != 2 {
		t.Errorf("page %q, want the message and two sessions", d.Find("main").Text())
	}
}

func TestEndingAllOthers(t *testing.T) {
	w, ann := open(t)
	rec, _ := do(t, w, http.MethodPost, "/account/sessions/end-others", ann)
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/account?ended=others" {
		t.Fatalf("status %d to %q, want 303 to /account?ended=others", rec.Code, rec.Header().Get("Location"))
	}
	if left := w.Sessions("ann"); !slices.Equal(left, []string{fakes.SessionID("ann")}) || len(w.Sessions("bob")) != 1 {
		t.Errorf("Ann's sessions %q, Bob's %q, want one each", left, w.Sessions("bob"))
	}
	if _, d := do(t, w, http.MethodGet, rec.Header().Get("Location"), ann); d.Find(".toast").Text() != "All other sessions were ended." {
		t.Errorf("flash %q, want that all other sessions were ended", d.Find(".toast").Text())
	}
}

func TestNobodyEndsASessionOfSomebodyElse(t *testing.T) {
	w, ann := open(t)
	do(t, w, http.MethodPost, "/account/sessions/end", ann, session(fakes.SessionID("bob")))
	if left := w.Sessions("bob"); len(left) != 1 {
		t.Errorf("Ann ended Bob's session, left are %q", left)
	}
}

func TestOnlyASessionsIDReachesTheAuthService(t *testing.T) {
	w, ann := open(t)
	for _, sid := range []string{"", "x", "..", "%2e%2e", "../me/password", "?others=true", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 20) + "\r\n"} {
		if rec, _ := do(t, w, http.MethodPost, "/account/sessions/end", ann, session(sid)); rec.Code != http.StatusNotFound {
			t.Errorf("session id %q: status %d, want 404", sid, rec.Code)
		}
	}
	if n := w.AccountWrites(); n != 0 || len(w.Sessions("ann")) != 3 {
		t.Errorf("%d calls, sessions %q, want no call and all sessions", n, w.Sessions("ann"))
	}
}

func TestAFlashIsOneOfOurSentencesAndNeverWrong(t *testing.T) {
	w, ann := open(t)
	for query, want := range map[string]string{
		"": "", "ended=all": "", "ended=%3Cb%3Ehello": "", "changed=email": "", "ended=one": "That session was ended.",
		"ended=others": "", "changed=password": "Password changed.", // there are other sessions
	} {
		if _, d := do(t, w, http.MethodGet, "/account?"+query, ann); d.Find(".toast").Text() != want {
			t.Errorf("%s: flash %q, want %q", query, d.Find(".toast").Text(), want)
		}
	}
}

func TestWithoutTheSessionsTheRestHoldsOn(t *testing.T) {
	w, ann := open(t)
	w.AccountsSay("GET /v1/sessions", http.StatusServiceUnavailable)
	rec, d := do(t, w, http.MethodGet, "/account", ann)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || d.Find(".account-name").Text() != "Ann" {
		t.Errorf("status %d, profile of %q, want 503 with Retry-After and Ann", rec.Code, d.Find(".account-name").Text())
	}
	if d.Find(`#sessions [role=alert] a[href="/account"]`).Text() != "Try again" || d.Find(".session, #sessions form").Length() != 0 || d.Find("#password form").Length() != 1 {
		t.Errorf("page %q, want an alert in place of the sessions, and the password form", d.Find("main").Text())
	}
	if strings.Contains(rec.Body.String(), "planted") {
		t.Error("the page contains text of the auth service")
	}
	w.AccountsSay("GET /v1/sessions", http.StatusUnauthorized)
	if rec, _ := do(t, w, http.MethodGet, "/account", ann); rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("token rejected by the auth service: status %d, want 401", rec.Code)
	}
	w.AccountsSay("GET /v1/sessions", http.StatusOK)
	if rec, d := do(t, w, http.MethodGet, "/account", ann); rec.Code != http.StatusOK || d.Find(".session").Length() != 3 {
		t.Errorf("sessions available again: status %d, want 200 and three sessions", rec.Code)
	}
}

func TestAnEndThatDidNotComeThroughIsSaid(t *testing.T) {
	w, ann := open(t)
	phone := fakes.SessionID("phone")
	for path, endpoint := range map[string]string{
		"/account/sessions/end": "DELETE /v1/sessions/" + phone, "/account/sessions/end-others": "DELETE /v1/sessions",
	} {
		for status, want := range map[int]int{503: 503, 500: 503, 401: 401, 429: 429} {
			w.AccountsSay(endpoint, status)
			if rec, d := do(t, w, http.MethodPost, path, ann, session(phone)); rec.Code != want || d.Find(".notice-page").Length() != 1 || strings.Contains(rec.Body.String(), "planted") {
				t.Errorf("%s, auth service responds %d: status %d, want %d and an error page", path, status, rec.Code, want)
			}
		}
	}
	if len(w.Sessions("ann")) != 3 {
		t.Errorf("sessions %q, want all three", w.Sessions("ann"))
	}
}

func TestAUserAgentOnlyPicksAmongOurNames(t *testing.T) {
	apple := "AppleWebKit/605.1.15 (KHTML, like Gecko) "
	chrome := "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 "
	w, ann := open(t)
	for userAgent, want := range map[string]string{
		firefoxOnLinux:  "Firefox on Linux",
		chromeOnAndroid: "Chrome on Android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + chrome + "Safari/537.36 Edg/138.0.0.0":                       "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + apple + "Version/18.5 Safari/605.1.15":                 "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) " + apple + "Version/18.5 Mobile/15E148 Safari/604": "Safari on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) " + apple + "CriOS/138.0 Mobile/15E148 Safari/604":  "Chrome on iPhone",
		"Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) " + apple + "FxiOS/140.0 Mobile/15E148 Safari/605":           "Firefox on iPad",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + chrome + "Safari/537.36 OPR/120.0.0.0":                       "Opera on Windows",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) " + chrome + "Safari/537.36":                                      "Chrome on ChromeOS",
		"Mozilla/5.0 (Linux; Android 14; SM-S921B) " + chrome + "SamsungBrowser/28.0 Mobile Safari/537.36":          "Samsung Internet on Android",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/138.0 Safari/537.36": "Chrome on Linux",
		"curl/8.14.1":                     "curl",
		"Links (2.30; Linux 6.12 x86_64)": "Unknown browser on Linux",
		"":                                "Unknown device",
		"\x00\xff\u202e{{.User}}":         "Unknown device",
		`<script>alert(1)</script>`:       "Unknown device",
		`"><img src=x onerror=alert(1)> Firefox/1 Windows`: "Firefox on Windows",
		strings.Repeat("Mozilla/5.0 ", 1000):               "Unknown device",
	} {
		id := fakes.SessionID("device " + userAgent)
		w.Begin("ann", api.SessionInfo{Sid: id, Device: userAgent, Seen: fakes.Noon()})
		rec, d := do(t, w, http.MethodGet, "/account", ann)
		row := d.Find(".session").Has(`input[name=session][value="` + id + `"]`)
		if got := row.Find(".session-device").Text(); got != want {
			t.Errorf("%.90q: %q, want %q", userAgent, got, want)
		}
		if len(userAgent) > 8 && strings.Contains(rec.Body.String(), userAgent) || d.Find("script, [onerror], img[src=x]").Length() > 0 {
			t.Errorf("user agent %.90q is in the page", userAgent)
		}
		if rec := w.Do(t.Context(), http.MethodPost, "/account/sessions/end", ann, session(id)); rec.Code != http.StatusSeeOther {
			t.Fatalf("status %d, want 303", rec.Code)
		}
	}
}
