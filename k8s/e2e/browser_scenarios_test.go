package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func browserScenarios(w *World) []scenario {
	list := []scenario{
		{"Browser_AUsersDay", aUsersDay},
		{"Browser_WrongPasswordKeepsTheAddress", wrongPasswordKeepsTheAddress},
		{"Browser_LoginReturnsToThePageAskedFor", loginReturns},
		{"Browser_WithoutJavaScript", withoutJavaScript},
		{"Browser_W15_ALateFormIsSentOnceAfterSigningIn", lateFormIsSent},
		{"Browser_W15_ALateFormIsDiscarded", lateFormIsDiscarded},
		{"Browser_W15_ALateFormIsNobodyElses", lateFormIsNobodyElses},
		{"Browser_T17_HostileRedirectsAsABrowserReadsThem", redirectsAsABrowserReadsThem},
		{"Browser_T16_AttackFromAnotherSite", attackFromAnotherSite},
		{"Browser_Pictures", pictures},
	}
	if w.RestartAuth != nil {
		list = append(list, scenario{"Browser_StillSignedInAfterARestartOfTheAuthService", restartOfAuth})
	}
	return list
}

const (
	petButton     = `form[action*="/pet"] button`
	lastPetButton = `(//form[contains(@action,"/pet")]//button)[last()]`
	logoutButton  = `form[action="/auth/logout"] button`
	mainButton    = `main form button[type="submit"], main form button:not([type])`
)

func (b *browser) register() account {
	b.t.Helper()
	who := newAccount()
	b.visit("/register")
	b.fill(map[string]string{"email": who.Email, "name": who.Name, "password": who.Password})
	b.press(mainButton)
	return who
}

// frogs returns the list of the API.
func (b *browser) frogs() []frog {
	b.t.Helper()
	var list struct{ Frogs []frog }
	b.visit("/api/frogs")
	if err := json.Unmarshal([]byte(b.eval(`document.body.innerText`)), &list); err != nil {
		b.t.Fatalf("the list of frogs: %v\nat %s", err, b.where())
	}
	return list.Frogs
}

// pettedFrogs returns how many frogs the signed-in user has petted.
func (b *browser) pettedFrogs() int {
	b.t.Helper()
	n := 0
	for _, f := range b.frogs() {
		if f.PettedAt != nil {
			n++
		}
	}
	return n
}

// aUsersDay: register, pet a frog, return after the access token has expired, pet again, log out;
// nothing remains.
func aUsersDay(t *testing.T, w *World) {
	b := newBrowser(t, w)
	b.visit("/")
	b.want("Login to pet the phrog 👀")
	who := b.register()
	if b.path() != "/" {
		t.Fatalf("after registration at %s, want the gallery", b.where())
	}
	b.want(who.Name)
	b.want("You may pet the phrog 🐸")
	b.wantNoToken()
	if n := b.count(petButton); n < 12 {
		t.Fatalf("%d frogs to pet, want at least 12", n)
	}
	b.press(petButton)
	b.wantNoToken()
	if n := b.pettedFrogs(); n != 1 {
		t.Fatalf("%d frogs petted after the first click, want 1, at %s", n, b.where())
	}

	for range 2 {
		b.outliveTheAccessToken()
		b.want(who.Name)
	}
	b.press(lastPetButton)
	b.want(who.Name)
	if n := b.pettedFrogs(); n != 2 {
		t.Fatalf("%d frogs petted after the second click, want 2, at %s", n, b.where())
	}

	b.visit("/account")
	b.want(who.Email)
	b.wantNoToken()
	b.press(logoutButton)
	if b.path() != "/login" || b.cookie() != "" {
		t.Errorf("after logout: cookie %q, at %s; want no cookie and the login page", b.cookie(), b.where())
	}
	for range 3 {
		run(b, "go back", chromedp.NavigateBack())
		if text := b.eval(`document.documentElement.outerHTML`); strings.Contains(text, who.Email) || strings.Contains(text, who.Name) {
			t.Errorf("Back shows a page of the user after logout, at %s", b.where())
		}
	}
	b.visit("/")
	b.want("Login to pet the phrog 👀")
}

// outliveTheAccessToken reloads the page until the cookie has rotated, and checks that the user
// stays signed in.
func (b *browser) outliveTheAccessToken() {
	b.t.Helper()
	before := b.cookie()
	b.w.awaitRotation(b.t, func() bool {
		b.visit("/frogs")
		now := b.cookie()
		if now == "" {
			b.t.Fatalf("signed out at %s, want signed in", b.where())
		}
		return now != before
	})
}

func wrongPasswordKeepsTheAddress(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	b := newBrowser(t, w)
	b.visit("/login")
	b.fill(map[string]string{"email": who.Email, "password": "this is a wrong password"})
	b.press(mainButton)
	if b.path() != "/login" {
		t.Fatalf("at %s", b.where())
	}
	if kept := b.eval(`document.querySelector('main input[name="email"]').value`); kept != who.Email {
		t.Errorf("e-mail field %q, want the entered address", kept)
	}
	if kept := b.eval(`document.querySelector('main input[name="password"]').value`); kept != "" {
		t.Errorf("password field %q, want it empty", kept)
	}
	if !b.has(`[role="alert"]`) {
		t.Errorf("no error message at %s", b.where())
	}
	if b.cookie() != "" {
		t.Error("a cookie is set, want none")
	}
	b.picture("login-wrong-password")
	b.fill(map[string]string{"password": who.Password})
	b.press(mainButton)
	b.want(who.Name)
}

func loginReturns(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	b := newBrowser(t, w)
	b.visit("/account")
	if b.path() != "/login" {
		t.Fatalf("/account without a session leads to %s, want the login page", b.where())
	}
	b.fill(map[string]string{"email": who.Email, "password": who.Password})
	b.press(mainButton)
	if b.path() != "/account" {
		t.Errorf("after sign-in at %s, want /account", b.where())
	}
	b.want(who.Email)
	b.visit("/login") // somebody who is signed in has nothing to do there
	if b.path() != "/" {
		t.Errorf("/login of a signed-in user leads to %s, want the front page", b.where())
	}
}

func withoutJavaScript(t *testing.T, w *World) {
	b := newBrowser(t, w)
	b.scripts(false)
	who := b.register()
	b.press(petButton)
	b.visit("/account")
	b.scripts(true)
	b.want(who.Email)
	if n := b.pettedFrogs(); n != 1 {
		t.Errorf("%d frogs petted, want 1", n)
	}
}

// redirectsAsABrowserReadsThem parses the targets of login redirects with Chromium's URL parser,
// independently of redirect_test.go.
func redirectsAsABrowserReadsThem(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	locations := map[string]string{}
	for _, next := range hostileNexts(t) {
		form := who.form()
		form.Set("next", next)
		form.Set("password", "a wrong password") // the way back to the login page carries next on
		locations[next] = w.visitor(t).submit(t, "/auth/login", form).header.Get("Location")
	}
	list, err := json.Marshal(locations)
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, w)
	b.visit("/login")
	left := b.eval(`(() => {
		const list = ` + string(list) + `;
		const here = to => { const u = new URL(to, location.href); return u.origin === location.origin && u.pathname === "/login" };
		const on = to => { const next = new URL(to, location.href).searchParams.get("next"); return next === null || new URL(next, location.href).origin === location.origin };
		return JSON.stringify(Object.entries(list).filter(([, to]) => !here(to) || !on(to)));
	})()`)
	if left != "[]" {
		t.Errorf("redirects to another origin: %s", left)
	}
}

func pictures(t *testing.T, w *World) {
	b := newBrowser(t, w)
	for path, name := range map[string]string{"/": "stranger", "/login": "login", "/register": "register", "/no/such/page": "not-found"} {
		b.visit(path)
		b.picture(name)
	}
	b.visit("/register")
	b.fill(map[string]string{"email": "frog@pond.example", "name": "Frog", "password": "short"})
	run(b, "let the server judge", chromedp.SetAttributeValue(chromedp.CSS("main form"), "novalidate", ""))
	b.press(mainButton)
	b.picture("register-refused")
	b.register()
	b.press(petButton)
	b.visit("/")
	b.picture("gallery")
	b.visit("/account")
	b.picture("account")
	b.visit("/admin")
	b.picture("forbidden")
}

func restartOfAuth(t *testing.T, w *World) {
	b := newBrowser(t, w)
	who := b.register()
	b.press(petButton)
	w.RestartAuth(t)
	b.outliveTheAccessToken()
	b.want(who.Name)
	b.press(petButton)
	b.want(who.Name)
	if n := b.pettedFrogs(); n != 1 {
		t.Errorf("%d frogs petted, want 1", n)
	}
}
