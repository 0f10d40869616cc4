package e2e

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	sendButton    = `form[action*="/pet"] button`
	discardButton = `form[action="/auth/form/discard"] button`
)

// signIn submits the login form.
func (b *browser) signIn(who account) {
	b.t.Helper()
	b.fill(map[string]string{"email": who.Email, "password": who.Password})
	b.press(mainButton)
}

// petTooLate is a gallery whose user was signed out from elsewhere before a frog was petted: the
// browser is at the login page, and the pet is kept.
func petTooLate(t *testing.T, w *World) (*browser, account) {
	t.Helper()
	b := newBrowser(t, w)
	who := b.register()
	elsewhere := w.visitor(t)
	elsewhere.login(t, who)
	elsewhere.submit(t, "/account/sessions/end-others", url.Values{}).wantRedirect(t)
	w.awaitEnd(t, b.cookie())
	b.press(petButton)
	if b.path() != "/login" {
		t.Fatalf("after a late submission at %s, want the login page", b.where())
	}
	b.want("what you entered is kept for ten minutes")
	return b, who
}

// cookies returns the names of the browser's cookies.
func (b *browser) cookies() string {
	b.t.Helper()
	return strings.Join(slices.Sorted(maps.Keys(b.jar())), " ")
}

func lateFormIsSent(t *testing.T, w *World) {
	b, who := petTooLate(t, w)
	b.scripts(false)
	b.signIn(account{Email: who.Email, Password: "this is a wrong password"})
	b.fill(map[string]string{"password": who.Password}) // the address was kept
	b.press(mainButton)
	b.scripts(true)
	if b.path() != "/auth/form" {
		t.Fatalf("after sign-in at %s, want the page that offers the form", b.where())
	}
	b.want("Send it now?")
	b.want(who.Name)
	b.want("/pet")
	b.picture("form")
	b.visit("/auth/form") // looking at it sends nothing
	b.press(sendButton)
	if b.path() != "/" {
		t.Fatalf("after sending the form at %s, want the page that it leads to", b.where())
	}
	b.want("You petted the")
	if names := b.cookies(); names != cookieName {
		t.Errorf("cookies %q, want %s only", names, cookieName)
	}
	run(b, "go back", chromedp.NavigateBack())
	b.visit("/auth/form")
	b.want("Nothing that you entered is kept here for you")
	if n := b.pettedFrogs(); n != 1 {
		t.Errorf("%d frogs petted, want 1", n)
	}
}

func lateFormIsDiscarded(t *testing.T, w *World) {
	b, who := petTooLate(t, w)
	b.signIn(who)
	b.press(discardButton)
	if names := b.cookies(); b.path() != "/" || names != cookieName {
		t.Errorf("cookies %q, at %s; want %s only, on the front page", names, b.where(), cookieName)
	}
	if n := b.pettedFrogs(); n != 0 {
		t.Errorf("%d frogs petted, want 0", n)
	}
}

func lateFormIsNobodyElses(t *testing.T, w *World) {
	other := w.visitor(t).register(t)
	b, who := petTooLate(t, w)
	b.signIn(other)
	b.want("Nothing that you entered is kept here for you")
	b.picture("form-gone")
	if b.has(sendButton) {
		t.Errorf("the form is offered to another user, at %s", b.where())
	}
	if n := b.pettedFrogs(); n != 0 {
		t.Errorf("%d frogs petted, want 0", n)
	}
	v := w.visitor(t)
	v.login(t, who)
	if a := v.navigate(t, "/auth/form"); strings.Contains(a.body, "/pet") {
		t.Error("the form is offered in a browser that does not have its key")
	}
}
