package gallery_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"lilypad.example/services/frontend/internal/fakes"
	"lilypad.example/services/frontend/internal/frogs"
	"lilypad.example/services/frontend/static"
)

func open(t *testing.T) (w *fakes.World, ann string) {
	t.Helper()
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Add(fakes.Person{Sub: "ann", Email: "ann@example.org", Name: "Ann"})
	if ann, err = w.Token("ann"); err != nil {
		t.Fatal(err)
	}
	return w, ann
}

func get(t *testing.T, w *fakes.World, path, as string) (*httptest.ResponseRecorder, *goquery.Document) {
	t.Helper()
	rec := w.Do(t.Context(), http.MethodGet, path, as)
	d, err := goquery.NewDocumentFromReader(strings.NewReader(rec.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return rec, d
}

func TestAStrangerSeesTheFrogsAndAnInvitation(t *testing.T) {
	w, _ := open(t)
	for _, path := range []string{"/", "/frogs", "/?petted=glass-frog"} {
		rec, d := get(t, w, path, "")
		if h1 := d.Find("h1").Text(); rec.Code != http.StatusOK || h1 != "Login to pet the phrog 👀" {
			t.Errorf("%s: status %d, title %q, want 200 and the invitation to log in", path, rec.Code, h1)
		}
		if a := d.Find(`.hero a[href="/login"]`); a.Text() != "Go to login" {
			t.Errorf("%s: link to the login page %q, want Go to login", path, a.Text())
		}
		if n := d.Find(".frog img").Length(); n < 14 {
			t.Errorf("%s: %d frogs, want at least 14", path, n)
		}
		if n := d.Find("form, .frog-pets, .toast, .frog-said").Length(); n != 0 {
			t.Errorf("%s: an anonymous visitor sees %d elements for users, want 0", path, n)
		}
	}
}

func TestAUserSeesCountersAndMayPet(t *testing.T) {
	w, ann := open(t)
	w.SetFrogs(
		frogs.Frog{ID: "glass-frog", Name: "Glass frog", Latin: "Hyalinobatrachium valerioi", Pets: 1234567, PettedAt: fakes.Noon().Add(-3 * time.Hour)},
		frogs.Frog{ID: "tree-frog", Name: "European tree frog", Latin: "Hyla arborea", Pets: 1},
		frogs.Frog{ID: "new-frog", Name: "Newcomer", Latin: "Rana nova"},
	)
	rec, d := get(t, w, "/", ann)
	if h1 := d.Find("h1").Text(); rec.Code != http.StatusOK || h1 != "You may pet the phrog 🐸" {
		t.Fatalf("status %d, title %q, want 200 and the user's title", rec.Code, h1)
	}
	if greeting := d.Find(".greeting").Text(); greeting != "Hi, Ann" {
		t.Errorf("greeting %q, want Hi, Ann", greeting)
	}
	if d.Find(`form[method=post][action="/auth/logout"] button`).Text() != "Logout" || d.Find(`a[href="/account"]`).Length() != 1 {
		t.Error("no Logout button or no Account link")
	}
	want := []struct{ id, name, latin, pets, ago string }{
		{"glass-frog", "Glass frog", "Hyalinobatrachium valerioi", "1\u202f234\u202f567 pets", "You: 3 hours ago"},
		{"tree-frog", "European tree frog", "Hyla arborea", "1 pet", "Not petted by you yet"},
		{"new-frog", "Newcomer", "Rana nova", "0 pets", "Not petted by you yet"},
	}
	cards := d.Find(".frog")
	if cards.Length() != len(want) {
		t.Fatalf("%d cards, want %d", cards.Length(), len(want))
	}
	cards.Each(func(i int, s *goquery.Selection) {
		got := []string{s.AttrOr("id", ""), s.Find(".frog-name").Text(), s.Find(".frog-latin").Text(), s.Find(".frog-pets").Text(), s.Find(".frog-ago").Text()}
		if strings.Join(got, "|") != strings.Join([]string{want[i].id, want[i].name, want[i].latin, want[i].pets, want[i].ago}, "|") {
			t.Errorf("card %d: %q, want %q", i, got, want[i])
		}
		form := s.Find("form[method=post]")
		if form.AttrOr("action", "") != "/frogs/"+want[i].id+"/pet" || form.Find("button").AttrOr("aria-label", "") != "Pet the "+want[i].name {
			t.Errorf("card %d: form to %q, want one to pet %s", i, form.AttrOr("action", ""), want[i].id)
		}
	})
	if total := d.Find(".total").Text(); total != "1\u202f234\u202f568" {
		t.Errorf("total %q, want the sum of all pets", total)
	}
	if src := cards.Eq(2).Find("img").AttrOr("src", ""); !strings.HasPrefix(src, "/static/logo.svg") {
		t.Errorf("picture of a frog without a drawing is %q, want the logo", src)
	}
}

func TestPettingIsPostRedirectGetWithAMessage(t *testing.T) {
	w, ann := open(t)
	rec := w.Do(t.Context(), http.MethodPost, "/frogs/glass-frog/pet", ann)
	if to := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || to != "/?petted=glass-frog#glass-frog" {
		t.Fatalf("status %d to %q, want 303 to the frog", rec.Code, to)
	}
	if w.Pets("ann", "glass-frog") != 1 {
		t.Fatal("the frog was not petted")
	}
	_, d := get(t, w, "/?petted=glass-frog", ann)
	if flash := d.Find(".toast[role=status]").Text(); flash != "You petted the Glass frog." {
		t.Errorf("flash %q, want that the Glass frog was petted", flash)
	}
	if said := d.Find("#glass-frog .frog-said").Text(); said == "" || d.Find(".frog-said").Length() != 1 {
		t.Errorf("the frog says %q, %d frogs speak, want one", said, d.Find(".frog-said").Length())
	}
	if pets := d.Find("#glass-frog .frog-pets").Text(); pets != "1 pet" {
		t.Errorf("counter %q, want 1 pet", pets)
	}
	if get(t, w, "/?petted=glass-frog", ann); w.Pets("ann", "glass-frog") != 1 {
		t.Error("a reload petted again")
	}
}

// The message is built from server data: an id in the link that is unknown, or of a frog that this
// user never petted, yields no message.
func TestTheFlashIsNeverTakenFromTheAddressBar(t *testing.T) {
	w, ann := open(t)
	for _, petted := range []string{"toad", "glass-frog", "<b>x</b>", "GLASS-FROG", ""} {
		if _, d := get(t, w, "/?petted="+url.QueryEscape(petted), ann); d.Find(".toast, .frog-said").Length() != 0 {
			t.Errorf("petted=%q: message %q, want none", petted, d.Find(".toast, .frog-said").Text())
		}
	}
}

func TestPettingWhatIsNotThere(t *testing.T) {
	w, ann := open(t)
	for _, id := range []string{"toad", "..", "%2e%2e", "glass-frog%2f..%2ftree-frog"} {
		if rec := w.Do(t.Context(), http.MethodPost, "/frogs/"+id+"/pet", ann); rec.Code != http.StatusNotFound || rec.Header().Get("Location") != "" {
			t.Errorf("%s: status %d, Location %q, want 404 and none", id, rec.Code, rec.Header().Get("Location"))
		}
	}
	if rec := w.Do(t.Context(), http.MethodPost, "/frogs/glass-frog/pet", ""); rec.Code != http.StatusUnauthorized || rec.Header().Get("Location") != "" {
		t.Errorf("unauthenticated: status %d, want 401 and no Location", rec.Code)
	}
}

func TestNoFrogs(t *testing.T) {
	w, ann := open(t)
	w.SetFrogs()
	rec, d := get(t, w, "/", ann)
	if rec.Code != http.StatusOK || d.Find(".state h2").Text() != "No frogs today" || d.Find(`.state a[href="/"]`).Length() != 1 {
		t.Errorf("status %d, state %q, want 200 and No frogs today", rec.Code, d.Find(".state").Text())
	}
}

func TestTheFrogsAPIAwayLeavesTheRestOfThePage(t *testing.T) {
	for name, breakIt := range map[string]func(*fakes.World){
		"503":     func(w *fakes.World) { w.FrogsSay(http.StatusServiceUnavailable) },
		"500":     func(w *fakes.World) { w.FrogsSay(http.StatusInternalServerError) },
		"302":     func(w *fakes.World) { w.FrogsSay(http.StatusFound) },
		"garbage": func(w *fakes.World) { w.FrogsTalkGarbage() },
	} {
		w, ann := open(t)
		breakIt(w)
		rec, d := get(t, w, "/", ann)
		if after, err := strconv.Atoi(rec.Header().Get("Retry-After")); rec.Code != http.StatusServiceUnavailable || err != nil || after < 1 {
			t.Errorf("%s: status %d, Retry-After %q, want 503 and at least 1", name, rec.Code, rec.Header().Get("Retry-After"))
		}
		if d.Find(".greeting").Text() != "Hi, Ann" || d.Find(`.state a[href="/"]`).Text() != "Try again" || d.Find(".frog").Length() != 0 {
			t.Errorf("%s: page %q, want the greeting, Try again and no frogs", name, d.Find("body").Text())
		}
		if rec := w.Do(t.Context(), http.MethodPost, "/frogs/glass-frog/pet", ann); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: petting: status %d, want 503 with Retry-After", name, rec.Code)
		}
	}
}

func TestEveryDrawingHasItsWords(t *testing.T) {
	assets, err := static.Load()
	if err != nil {
		t.Fatal(err)
	}
	w, ann := open(t)
	all := make([]frogs.Frog, 0, len(assets.Drawings()))
	for _, d := range assets.Drawings() {
		all = append(all, frogs.Frog{ID: d.ID, Name: d.Name, PettedAt: fakes.Noon()})
	}
	w.SetFrogs(all...)
	said := make(map[string]string)
	for _, f := range all {
		_, d := get(t, w, "/?petted="+f.ID, ann)
		words := d.Find("#" + f.ID + " .frog-said").Text()
		if before := said[words]; words == "" || before != "" {
			t.Errorf("%s says %q, as %q does, want unique words", f.ID, words, before)
		}
		said[words] = f.ID
	}
}
