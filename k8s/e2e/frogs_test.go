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

// frogs returns the list of the API.
func (v *visitor) frogs(t *testing.T) []frog {
	t.Helper()
	var list struct{ Frogs []frog }
	v.fetch(t, http.MethodGet, "/api/frogs").want(t, http.StatusOK).decode(t, &list)
	if len(list.Frogs) < 12 {
		t.Fatalf("%d frogs, want some", len(list.Frogs))
	}
	return list.Frogs
}

// pets returns the frogs that the visitor has petted, and when.
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
		t.Errorf("petted frogs %v, want %v as before", now, want)
	}
}

func petAFrog(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	before := v.frogs(t)
	chosen := before[len(before)-1]
	if chosen.PettedAt != nil {
		t.Errorf("petted at %s by a new user, want never", *chosen.PettedAt)
	}
	var after frog
	v.fetch(t, http.MethodPost, "/api/frogs/"+chosen.ID+"/pet").want(t, http.StatusOK).decode(t, &after)
	if after.ID != chosen.ID || after.Pets <= chosen.Pets || after.PettedAt == nil {
		t.Errorf("frog %+v after petting, was %+v; want the same frog with more pets and the time", after, chosen)
	}
	other := w.visitor(t)
	other.register(t)
	list := other.frogs(t)
	i := slices.IndexFunc(list, func(f frog) bool { return f.ID == chosen.ID })
	if i != len(list)-1 || list[i].Pets < after.Pets {
		t.Errorf("another user sees %+v at index %d, want at least %d pets, in last place", list[i], i, after.Pets)
	}
}

func galleryOfAStranger(t *testing.T, w *World) {
	v := w.visitor(t)
	for _, path := range []string{"/", "/frogs"} {
		page := v.navigate(t, path).want(t, http.StatusOK).body
		if !strings.Contains(page, "Login to pet the phrog 👀") {
			t.Errorf("%s without a session lacks the invitation to log in", path)
		}
	}
	v.register(t)
	if page := v.navigate(t, "/frogs").want(t, http.StatusOK).body; !strings.Contains(page, "You may pet the phrog 🐸") {
		t.Error("the gallery of a signed-in user lacks the buttons to pet")
	}
}

func unknownFrog(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	v.fetch(t, http.MethodPost, "/api/frogs/no-such-frog/pet").wantProblem(t, http.StatusNotFound)
	v.fetch(t, http.MethodGet, "/api/frogs/no/such/path").wantProblem(t, http.StatusNotFound)
	if page := v.navigate(t, "/no/such/page").want(t, http.StatusNotFound); !strings.Contains(page.body, "<html") {
		t.Error("404 without an HTML page")
	}
}
