package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// attackPage is a page of another site. Its script attacks target.
const attackPage = `<!doctype html><title>evil</title><script>
const settled = p => p.then(r => "read " + r, e => "blocked");
const read = (target, init) => settled(fetch(target, {credentials: "include", ...init}).then(r => r.text()));
const load = (kind, target) => new Promise(done => {
	const e = document.createElement(kind);
	e.onload = () => done("loaded"); e.onerror = () => done("blocked");
	e.src = target; document.documentElement.append(e);
});
// post submits a form into a frame, unnoticed by the user, and waits for the response.
const post = target => new Promise(done => {
	const frame = document.createElement("iframe"), form = document.createElement("form");
	frame.name = "into" + Math.random(); form.target = frame.name; form.method = "post"; form.action = target;
	document.documentElement.append(frame, form);
	frame.onload = () => done("sent");
	form.submit();
});
const attack = async (base, writes) => {
	const seen = {};
	for (const path of ["/account", "/api/frogs", "/auth/session"]) {
		seen["GET " + path] = await read(base + path);
		seen["img " + path] = await load("img", base + path);
		seen["script " + path] = await load("script", base + path);
	}
	for (const path of writes) {
		seen["fetch " + path] = await read(base + path, {method: "POST"});
		seen["fetch JSON " + path] = await read(base + path, {method: "POST", body: "{}", headers: {"Content-Type": "application/json"}});
		seen["no-cors " + path] = await settled(fetch(base + path, {method: "POST", mode: "no-cors", credentials: "include"}).then(r => r.text()).then(s => { if (s === "") throw s; return s }));
		await post(base + path);
		await load("img", base + path);
		await load("iframe", base + path);
	}
	return JSON.stringify(Object.entries(seen).filter(([, what]) => what !== "blocked"));
};
</script>`

// attackFromAnotherSite: a page of another site can neither write nor read in the session of a
// visitor.
func attackFromAnotherSite(t *testing.T, w *World) {
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(rw, attackPage)
	}))
	t.Cleanup(evil.Close)

	b := newBrowser(t, w)
	who := b.register()
	id := b.frogs()[0].ID
	writes, err := json.Marshal([]string{"/auth/logout", "/frogs/" + id + "/pet", "/api/frogs/" + id + "/pet"})
	if err != nil {
		t.Fatal(err)
	}
	b.open(evil.URL)
	if got := b.eval(fmt.Sprintf("attack(%q, %s)", w.BaseURL, writes)); got != "[]" {
		t.Errorf("attack from another site succeeded: %s", got)
	}
	b.visit("/")
	b.want(who.Name)
	if n := b.pettedFrogs(); n != 0 {
		t.Errorf("another site petted %d frogs, want 0", n)
	}
}
