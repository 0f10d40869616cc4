package register_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"lilypad.example/services/frontend/internal/fakes"
)

func open(t *testing.T) *fakes.World {
	t.Helper()
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func get(t *testing.T, w *fakes.World, q url.Values) *goquery.Document {
	t.Helper()
	rec := w.Do(t.Context(), http.MethodGet, "/register?"+q.Encode(), "")
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d, want 200", rec.Code)
	}
	d, err := goquery.NewDocumentFromReader(strings.NewReader(rec.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheFormGoesToTheSidecar(t *testing.T) {
	d := get(t, open(t), url.Values{"next": {"/account"}})
	form := d.Find(`form[method=post][action="/auth/register"]`)
	if d.Find("h1").Text() != "Sign Up" || form.Length() != 1 || form.Find("input[name=next][value='/account']").Length() != 1 {
		t.Fatalf("page %q, want Sign Up and a form to /auth/register with next", d.Find("main").Text())
	}
	for _, input := range []string{
		"input[name=email][type=email][required]", "input[name=name][required][maxlength='100']",
		"input[name=password][type=password][required][minlength='15'][maxlength='128'][autocomplete=new-password][aria-describedby=password-hint]",
	} {
		if form.Find(input).Length() != 1 {
			t.Errorf("the form has no %s", input)
		}
	}
	if hint := d.Find("#password-hint").Text(); !strings.Contains(hint, "15 to 128 characters") {
		t.Errorf("password hint %q, want it to name 15 to 128 characters", hint)
	}
	if link := d.Find(`.links a[href^="/login"]`).Text(); link != "Login instead" {
		t.Errorf("link to the login page %q, want Login instead", link)
	}
}

func TestFieldErrorsKeepTheEnteredValues(t *testing.T) {
	w := open(t)
	for field, want := range map[string]string{
		"email:required": "Required", "email:invalid": "Provide correct e-mail", "name:required": "Required", "name:too_long": "At most 100",
		"password:required": "Required", "password:too_short": "At least 15", "password:too_long": "At most 128", "password:common": "Too easy to guess",
	} {
		d := get(t, w, url.Values{"error": {"invalid_fields"}, "field": {field}, "email": {"ann@example"}, "name": {"Ann"}, "password": {"planted"}})
		name, _, _ := strings.Cut(field, ":")
		input := d.Find("input[name=" + name + "][aria-invalid=true][autofocus]")
		described := input.AttrOr("aria-describedby", "")
		if input.Length() != 1 || !strings.Contains(described, name+"-fault") || !strings.Contains(d.Find("#"+name+"-fault").Text(), want) {
			t.Errorf("%s: field error %q, described by %q, want %q", field, d.Find("#"+name+"-fault").Text(), described, want)
		}
		if d.Find("[aria-invalid]").Length() != 1 || d.Find("[autofocus]").Length() != 1 || d.Find(".fault").Length() != 1 {
			t.Errorf("%s: want exactly one field marked, focused and explained", field)
		}
		if d.Find("input[name=email]").AttrOr("value", "") != "ann@example" || d.Find("input[name=name]").AttrOr("value", "") != "Ann" {
			t.Errorf("%s: entered values are lost", field)
		}
		if html, _ := d.Html(); strings.Contains(html, "planted") {
			t.Errorf("%s: the password is in the page", field)
		}
	}
}

func TestSeveralFieldsAndUnknownOnes(t *testing.T) {
	d := get(t, open(t), url.Values{"error": {"invalid_fields"}, "field": {"password:common", "x", "name:<b>", "role:required", "name:required", "name:too_long", "password:"}})
	if d.Find("[aria-invalid]").Length() != 2 || d.Find("#name-fault").Text() != "Required" || d.Find("input[name=name][autofocus]").Length() != 1 {
		t.Errorf("page %q, want errors for name and password only", d.Find("main").Text())
	}
}

func TestAddressTaken(t *testing.T) {
	d := get(t, open(t), url.Values{"error": {"email_taken"}, "email": {"ann@example.org"}, "name": {strings.Repeat("x", 1000)}})
	if alert := d.Find(".alert").Text(); !strings.Contains(alert, "registered already") || !strings.Contains(alert, "Login instead") {
		t.Errorf("alert %q, want that the address is registered already", alert)
	}
	if name := d.Find("input[name=name]").AttrOr("value", ""); name != "" {
		t.Errorf("a name of %d characters is shown again, want none", len(name))
	}
}
