package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func nextApp(t *testing.T, program string) {
	at := freeAddress(t)
	e := install(t, program, "nextjs", map[string]string{"127.0.0.1:3000": at})
	both := []scenario{
		{"PageOfWhoIsSignedIn", nextPages},
		{"NavigationOfTheRouter", nextRouter},
		{"ServerAction", nextAction},
		{"StreamedRendering", nextStream},
		{"StaysSignedIn", nextStays},
	}
	const next = "node_modules/next/dist/bin/next"
	t.Run("Development", func(t *testing.T) {
		e.start(t, at, next, "dev", "--turbopack", "--hostname", "127.0.0.1")
		e.compile(t)
		e.play(t, append(both, scenario{"HotReload", e.nextHotReload}))
	})
	t.Run("Production", func(t *testing.T) {
		e.run(t, "node", next, "build", "--turbopack")
		e.start(t, at, next, "start", "--hostname", "127.0.0.1")
		e.play(t, both)
	})
}

// compile has the development server compile what the scenarios ask for, in
// its own time: on a busy machine it does not answer before the sidecar gives up.
func (e *example) compile(t *testing.T) {
	t.Helper()
	v := e.visitor(t)
	v.register(t)
	v.client.Timeout = 0
	for _, path := range []string{"/", "/login", "/account", "/api/me"} {
		e.awaitWithinTokenLife(t, path, func() bool { return v.navigate(t, path).status == http.StatusOK })
	}
}

func nextPages(t *testing.T, w *World) {
	v := w.visitor(t)
	if page := v.navigate(t, "/").want(t, http.StatusOK).body; !strings.Contains(page, "Hello, stranger") {
		t.Errorf("a stranger sees %s", shorten(page))
	}
	v.fetch(t, http.MethodGet, "/api/me").want(t, http.StatusUnauthorized)
	who := v.register(t)
	a := v.navigate(t, "/").want(t, http.StatusOK)
	if !strings.Contains(a.body, "Hello, "+who.Name) { // rendered on the server: no script ran
		t.Errorf("%s sees %s", who.Name, shorten(a.body))
	}
	if !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
		t.Errorf("a user's page has Cache-Control %q", a.header.Get("Cache-Control"))
	}
	var me struct{ Sub string }
	v.fetch(t, http.MethodGet, "/api/me").want(t, http.StatusOK).decode(t, &me)
	if me.Sub == "" {
		t.Error("the route handler does not know who asks")
	}
}

// nextRouter: the client's router fetches pages by script; the sidecar's 401
// makes it navigate, and so the stranger gets to the login page and back.
func nextRouter(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	b := newBrowser(t, w)
	b.visit("/")
	b.act(`document.querySelector('header a[href="/account"]').click()`)
	b.arrives("/login?next=%2Faccount")
	b.signIn(who)
	b.shows(who.Email)
	b.wantNoToken()
	b.press(`header button`)
	b.arrives("/login")
}

// nextAction: Next compares the Origin of a server action with the host it is
// reached at, which is the sidecar's.
func nextAction(t *testing.T, w *World) {
	b, who := w.resident(t)
	b.fill(map[string]string{"text": "ribbit"})
	b.act(`document.querySelector("main button").click()`)
	b.shows(who.Name + ": ribbit")

	b.scripts(false) // the same form, posted by the browser itself
	b.visit("/")
	b.fill(map[string]string{"text": "quark"})
	b.press(mainButton)
	b.want(who.Name + ": quark")
}

// nextStream: the page comes before what it waits for has happened.
func nextStream(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	page := v.open(t, "/pond", navigation())
	page.until(t, "All is quiet")
	v.sendJSON(t, "/api/croaks", map[string]string{"text": "at last"}).want(t, http.StatusNoContent)
	page.until(t, "at last")
	page.until(t, "</html>")
	if !strings.Contains(page.seen.String(), who.Name) {
		t.Errorf("who croaked? %s", page.seen.String())
	}
}

func nextStays(t *testing.T, w *World) {
	b, who := w.resident(t)
	b.shows("Hello, " + who.Name)
	b.stays("/api/me")
	b.visit("/account")
	b.shows(who.Email)
}

// nextHotReload: an edited source changes the page that is open, by way of the
// development server's WebSocket, and the page is not loaded again.
func (e *example) nextHotReload(t *testing.T, w *World) {
	b, who := w.resident(t)
	b.shows("Hello, " + who.Name)
	b.act(`window.loaded = "once"`)
	file := filepath.Join(e.dir, "app", "page.js")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { write(string(text)) }) // the scenarios after this one look for the old text
	edited := strings.Replace(string(text), "Hello, ${", "Good evening, ${", 1)
	write(edited)
	// The server does not repeat to a page what changed before the page's socket
	// was open, so the file changes until the page has heard of it.
	polls := 0
	w.awaitWithinTokenLife(t, "the edited text in the open page", func() bool {
		if polls++; polls%20 == 0 {
			edited += "// changed again\n" // white space alone would not count as a change
			write(edited)
		}
		return b.eval(`String(document.body.innerText.includes("Good evening, "))`) == "true"
	})
	b.want("Good evening, " + who.Name)
	if loaded := b.eval(`String(window.loaded)`); loaded != "once" {
		t.Error("the page was loaded again")
	}
}
