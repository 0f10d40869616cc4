package e2e

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func frogScenarios() []scenario {
	return []scenario{
		{"PetAFrog", petAFrog},
		{"TheGalleryOfAStranger", galleryOfAStranger},
		{"UnknownFrog", unknownFrog},
	}
}

type frog struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Latin    string  `json:"latin"`
	Pets     int     `json:"pets"`
	PettedAt *string `json:"petted_at"`
}

// frogs is the list as the visitor sees it.
func (v *visitor) frogs(t *testing.T) []frog {
	t.Helper()
	var list struct{ Frogs []frog }
	v.fetch(t, http.MethodGet, "/api/frogs").want(t, http.StatusOK).decode(t, &list)
	if len(list.Frogs) < 12 {
		t.Fatalf("%d frogs", len(list.Frogs))
	}
	return list.Frogs
}

// pets is which frogs the visitor has petted so far, and when. (The totals are everybody's.)
func (v *visitor) pets(t *testing.T) map[string]string {
	t.Helper()
	when := map[string]string{}
	for _, f := range v.frogs(t) {
		if f.PettedAt != nil {
			when[f.ID] = *f.PettedAt
		}
	}
	return when
}

func (v *visitor) wantPets(t *testing.T, want map[string]string) {
	t.Helper()
	if now := v.pets(t); !maps.Equal(now, want) {
		t.Errorf("frogs were petted: %v, before %v", now, want)
	}
}

func petAFrog(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	before := v.frogs(t)
	chosen := before[len(before)-1]
	if chosen.PettedAt != nil {
		t.Errorf("petted at %s by somebody who just came", *chosen.PettedAt)
	}
	var after frog
	v.fetch(t, http.MethodPost, "/api/frogs/"+chosen.ID+"/pet").want(t, http.StatusOK).decode(t, &after)
	if after.ID != chosen.ID || after.Pets <= chosen.Pets || after.PettedAt == nil {
		t.Errorf("%+v, before %+v", after, chosen)
	}
	other := w.visitor(t)
	other.register(t)
	list := other.frogs(t)
	i := slices.IndexFunc(list, func(f frog) bool { return f.ID == chosen.ID })
	if i != len(list)-1 || list[i].Pets < after.Pets {
		t.Errorf("another user sees %+v in place %d", list[i], i)
	}
}

func galleryOfAStranger(t *testing.T, w *World) {
	v := w.visitor(t)
	for _, path := range []string{"/", "/frogs"} {
		page := v.navigate(t, path).want(t, http.StatusOK).body
		if !strings.Contains(page, "Login to pet the phrog 👀") {
			t.Errorf("%s does not invite a stranger to log in", path)
		}
	}
	v.register(t)
	if page := v.navigate(t, "/frogs").want(t, http.StatusOK).body; !strings.Contains(page, "You may pet the phrog 🐸") {
		t.Error("the gallery does not invite a user to pet")
	}
}

func unknownFrog(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	v.fetch(t, http.MethodPost, "/api/frogs/no-such-frog/pet").wantProblem(t, http.StatusNotFound)
	v.fetch(t, http.MethodGet, "/api/frogs/no/such/path").wantProblem(t, http.StatusNotFound)
	if page := v.navigate(t, "/no/such/page").want(t, http.StatusNotFound); !strings.Contains(page.body, "<html") {
		t.Error("a page that is not there answers no page")
	}
}
