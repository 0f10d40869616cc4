package frog_test

import (
	"regexp"
	"testing"

	"lilypad.example/services/frogs/internal/frog"
)

func TestCatalogueNamesEachFrogOnce(t *testing.T) {
	id := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := make(map[string]bool)
	for _, s := range frog.Catalogue() {
		if !id.MatchString(s.ID) {
			t.Errorf("id %q is not usable in a path and a file name", s.ID)
		}
		for _, v := range []string{s.ID, s.Name, s.Latin} {
			if v == "" || seen[v] {
				t.Errorf("%+v: %q is empty or not unique", s, v)
			}
			seen[v] = true
		}
	}
	if n := len(frog.Catalogue()); n < 12 {
		t.Errorf("%d frogs, want at least 12", n)
	}
}
