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
		{"PagesOfSignedInUsers", nextPages},
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

// compile makes the development server compile the pages of the scenarios: on a busy machine that
// takes longer than the timeout of the sidecar.
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
		t.Errorf("page without a session, want a greeting for strangers: %s", shorten(page))
	}
	v.fetch(t, http.MethodGet, "/api/me").want(t, http.StatusUnauthorized)
	who := v.register(t)
	a := v.navigate(t, "/").want(t, http.StatusOK)
	if !strings.Contains(a.body, "Hello, "+who.Name) { // rendered on the server, without a script
		t.Errorf("page of a session, want a greeting for %s: %s", who.Name, shorten(a.body))
	}
	if !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
		t.Errorf("page of a session with Cache-Control %q, want no-store", a.header.Get("Cache-Control"))
	}
	var me struct{ Sub string }
	v.fetch(t, http.MethodGet, "/api/me").want(t, http.StatusOK).decode(t, &me)
	if me.Sub == "" {
		t.Error("the route handler returns no subject")
	}
}

// nextRouter: the router of the client fetches pages. On the 401 of the sidecar it navigates
// instead, which leads to the login page and back.
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
	b.arrives("/login?signed_out=1")
}

// nextAction: Next.js compares the Origin of a server action with the request's host, which is that
// of the sidecar.
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

// nextStream: the page arrives in parts, before the event that it waits for.
func nextStream(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	page := v.open(t, "/pond", navigation())
	page.until(t, "All is quiet")
	v.sendJSON(t, "/api/croaks", map[string]string{"text": "at last"}).want(t, http.StatusNoContent)
	page.until(t, "at last")
	page.until(t, "</html>")
	if !strings.Contains(page.seen.String(), who.Name) {
		t.Errorf("streamed page lacks %s: %s", who.Name, page.seen.String())
	}
}

func nextStays(t *testing.T, w *World) {
	b, who := w.resident(t)
	b.shows("Hello, " + who.Name)
	b.stays("/api/me")
	b.visit("/account")
	b.shows(who.Email)
}

// nextHotReload: after a change of a source file, the open page changes without a reload, through
// the WebSocket of the development server.
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
	t.Cleanup(func() { write(string(text)) }) // later scenarios look for the old text
	edited := strings.Replace(string(text), "Hello, ${", "Good evening, ${", 1)
	write(edited)
	// The server does not repeat changes that it made before the WebSocket was open, so the file is
	// changed until the page shows it.
	polls := 0
	w.awaitWithinTokenLife(t, "the edited text in the open page", func() bool {
		if polls++; polls%20 == 0 {
			edited += "// changed again\n" // a change of white space alone is ignored
			write(edited)
		}
		return b.eval(`String(document.body.innerText.includes("Good evening, "))`) == "true"
	})
	b.want("Good evening, " + who.Name)
	if loaded := b.eval(`String(window.loaded)`); loaded != "once" {
		t.Errorf("window.loaded is %q, want once: the page was reloaded", loaded)
	}
}
