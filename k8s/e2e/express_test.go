package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func expressApp(t *testing.T, program string) {
	at := freeAddress(t)
	e := install(t, program, "express", map[string]string{"127.0.0.1:3000": at})
	e.start(t, at, "server.js")
	e.play(t, []scenario{
		{"PagesOfSignedInUsers", expressPages},
		{"ForgedIdentityHeaders", expressForgery},
		{"TrustProxy", expressTrustsSidecar},
		{"CookiesOfItsOwn", expressCookies},
		{"URLsArriveUnchanged", expressAddresses},
		{"ServerSentEvents", expressEvents},
		{"Upload", expressUpload},
		{"WebSocket", expressWebSocket},
	})
}

// play runs the scenarios of an app.
func (e *example) play(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { s.run(t, e.World) })
	}
}

// resident returns a browser in which a new account has signed in on the login page of the app.
func (w *World) resident(t *testing.T) (*browser, account) {
	t.Helper()
	v := w.visitor(t)
	who := v.register(t)
	b := newBrowser(t, w)
	b.visit("/login")
	b.signIn(who)
	return b, who
}

// act runs a script in the page and ignores its result.
func (b *browser) act(script string) {
	b.t.Helper()
	b.eval(`(() => { ` + script + `; return "" })()`)
}

// shows waits until the page contains a text.
func (b *browser) shows(text string) {
	b.t.Helper()
	quoted := strconv.Quote(text)
	b.w.awaitWithinTokenLife(b.t, "a page that says "+quoted, func() bool {
		return b.eval(`String(document.body.innerText.includes(`+quoted+`))`) == "true"
	})
}

// arrives waits until the page at a URL, given without its origin, has loaded. Before that, the
// elements of a form may be those of the page before.
func (b *browser) arrives(at string) {
	b.t.Helper()
	b.w.awaitWithinTokenLife(b.t, "a page at "+at, func() bool {
		return b.eval(`document.readyState + " " + location.pathname + location.search`) == "complete "+at
	})
}

// stays fetches a URL in the page until the cookie has rotated. No request may fail.
func (b *browser) stays(path string) {
	b.t.Helper()
	first := b.jar()[cookieName]
	b.w.awaitRotation(b.t, func() bool {
		if status := b.eval(`fetch("` + path + `").then((answer) => String(answer.status))`); status != "200" {
			b.t.Fatalf("fetch of %s: status %s, want 200", path, status)
		}
		return b.jar()[cookieName] != first
	})
}

func expressPages(t *testing.T, w *World) {
	v := w.visitor(t)
	if page := v.navigate(t, "/").want(t, http.StatusOK).body; !strings.Contains(page, "Hello, stranger") {
		t.Errorf("page without a session, want a greeting for strangers: %s", page)
	}
	if to := v.navigate(t, "/pond").wantRedirect(t); to.String() != "/login?next=%2Fpond" {
		t.Errorf("redirected to %s, want /login?next=%%2Fpond", to)
	}
	v.fetch(t, http.MethodGet, "/pond").wantProblem(t, http.StatusUnauthorized)
	v.submit(t, "/pond/notes", url.Values{"text": {"x"}}).want(t, http.StatusUnauthorized)

	b, who := w.resident(t)
	b.want("Hello, " + who.Name)
	b.wantNoToken()
	b.stays("/pond")
	b.visit("/pond")
	b.fill(map[string]string{"text": `<b>"ribbit" & co`})
	b.press(mainButton)
	b.want(who.Name + `: <b>"ribbit" & co`)
	b.press(`header button`)
	b.arrives("/login?signed_out=1")
	b.visit("/pond")
	b.signIn(account{Email: who.Email, Password: "wrong"})
	b.want("not the right")
	b.fill(map[string]string{"password": who.Password})
	b.press(mainButton)
	b.arrives("/pond") // where the stranger wanted to go
}

// whoami is what the example app reports about a request.
type whoami struct {
	Sub, IP, Origin, URL, Cookie string
}

func (v *visitor) whoami(t *testing.T, rest string) whoami {
	t.Helper()
	var says whoami
	v.fetch(t, http.MethodGet, "/whoami"+rest).want(t, http.StatusOK).decode(t, &says)
	return says
}

func expressForgery(t *testing.T, w *World) {
	v := w.visitor(t).with("Authorization", "Bearer x.y.z").with("X-User", "admin")
	if says := v.whoami(t, ""); says.Sub != "" {
		t.Errorf("subject %s of a request without a session, want none", says.Sub)
	}
}

func expressTrustsSidecar(t *testing.T, w *World) {
	v := w.visitor(t).with("X-Forwarded-For", "203.0.113.9").with("X-Forwarded-Host", "elsewhere.example").with("X-Forwarded-Proto", "gopher")
	says := v.whoami(t, "")
	if says.Origin != w.BaseURL || !strings.HasPrefix(says.IP, "127.") {
		t.Errorf("the app sees origin %s and client %s, want those of the browser", says.Origin, says.IP)
	}
}

func expressCookies(t *testing.T, w *World) {
	b, _ := w.resident(t)
	b.visit("/whoami")
	if b.jar()["seen"] != "yes" {
		t.Error("the app's own cookie did not reach the browser")
	}
	b.visit("/whoami")
	var says whoami
	if err := json.Unmarshal([]byte(b.eval(`document.body.innerText`)), &says); err != nil {
		t.Fatal(err)
	}
	if says.Cookie != "seen=yes" || says.Sub == "" {
		t.Errorf("the app sees cookies %q and subject %q, want its own cookie and no session cookie", says.Cookie, says.Sub)
	}
}

// The app receives URLs exactly as Chromium sends them, encoded or not.
func expressAddresses(t *testing.T, w *World) {
	b := newBrowser(t, w)
	b.visit("/login")
	for _, rest := range []string{
		"/", "/a/", "/@newt", "/[slug]", "/[[...all]]", "/(group)/page", "/a|b", "/a;v=1", "/a,b", "/a:b", "/a'b", "/a!$&*+=~", "/a^b", "/a`b", "/a{b}", `/a"b`, "/a<b>",
		"/a b", "/a%20b", "/a+b", "/%5Fnext", "/%5Bslug%5D", "/%C3%A9", "/é", "/🐸", "/100%25", "/...a", "/.well-known", "/a..b", "/a.", "/~", "/-", "/a%3Fb", "/a%23b", "/a%3Bb",
		"?", "?a", "?a=b&a[]=1&a[b]=2", "?q=a|b", "?q={}^`", `?q=\`, `?q="'<>`, "?q=a b", "?q=a%2Fb", "?q=//x/../y", "?url=http://x.example/?y=1", "?q=%", "?q=%zz", "?q=é🐸", "?a?b", "?;,:@!$()*~",
	} {
		quoted, err := json.Marshal("/whoami" + rest)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.eval(`(async () => {
			const to = new URL(` + string(quoted) + `, location)
			const answer = await fetch(to)
			const text = await answer.text()
			return answer.ok && location.origin + JSON.parse(text).url === to.href ? "" : to.href + " answers " + answer.status + ": " + text
		})()`); got != "" {
			t.Errorf("%s arrives as %s, want it unchanged", rest, got)
		}
	}
}

func expressEvents(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	stream := v.open(t, "/pond/events", script())
	stream.until(t, ": listening")
	for _, text := range []string{"one", "two"} { // the stream is open: each arrives by itself or never
		v.submit(t, "/pond/notes", url.Values{"text": {text}}).want(t, http.StatusSeeOther)
		stream.until(t, `data: {"name":"`+who.Name+`","text":"`+text+`"}`)
	}
	v.sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	stream.end(t)
}

// opened is a response that is read while it arrives.
type opened struct {
	body *bufio.Reader
	seen strings.Builder
}

// open requests a stream.
func (v *visitor) open(t *testing.T, path string, header http.Header) *opened {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.w.BaseURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("Cookie", cookieName+"="+v.jar.cookie)
	client := *v.client
	client.Timeout = 0
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %s, want 200", path, resp.Status)
	}
	return &opened{body: bufio.NewReader(resp.Body)}
}

// until reads until the response contains text.
func (o *opened) until(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(o.seen.String(), text) {
		c, err := o.body.ReadByte()
		if err != nil {
			t.Fatalf("%v before %q, after:\n%s", err, text, o.seen.String())
		}
		o.seen.WriteByte(c)
	}
}

// end reads until the response ends or the connection breaks.
func (o *opened) end(t *testing.T) {
	t.Helper()
	for {
		if _, err := o.body.ReadByte(); err != nil {
			if t.Context().Err() != nil {
				t.Fatal("the stream is still open after its session ended")
			}
			return
		}
	}
}

func expressUpload(t *testing.T, w *World) {
	b, _ := w.resident(t)
	if got := b.eval(`(async () => {
		const bytes = new Uint8Array(3 << 20).map((_, i) => i * 7 + (i >> 8))
		const form = new FormData()
		form.append("file", new Blob([bytes]), "frög.bin")
		const answer = await (await fetch("/pond/files", {method: "POST", body: form})).json()
		const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
		const hex = Array.from(sum, (b) => b.toString(16).padStart(2, "0")).join("")
		return answer.size === bytes.length && answer.sha256 === hex ? "" : JSON.stringify(answer)
	})()`); got != "" {
		t.Errorf("the uploaded file arrives changed: %s", got)
	}
}

func expressWebSocket(t *testing.T, w *World) {
	b, _ := w.resident(t)
	got := b.eval(`new Promise((done) => {
		window.socket = new WebSocket("/pond/echo")
		window.ended = new Promise((resolve) => (socket.onclose = () => resolve("closed")))
		socket.onopen = () => socket.send("ribbit")
		socket.onmessage = (event) => done(event.data)
		socket.onerror = () => done("refused")
	})`)
	if !strings.HasSuffix(got, " said ribbit") {
		t.Fatalf("first message of the WebSocket %q, want one that ends with \" said ribbit\"", got)
	}
	b.stays("/pond")
	if state := b.eval(`String(socket.readyState === WebSocket.OPEN)`); state != "true" {
		t.Error("the refresh closed the WebSocket, want it open")
	}
	w.holder(t, b.jar()[cookieName]).sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	if got := b.eval(`ended`); got != "closed" {
		t.Errorf("WebSocket after the logout: %s, want it closed", got)
	}
}
