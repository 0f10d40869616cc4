package refreshtoken_test

import (
	"strings"
	"testing"

	"lilypad.example/services/auth/api/refreshtoken"
)

func TestSplitRefusesOtherShapes(t *testing.T) {
	want := refreshtoken.Parts{KeyID: "k", Family: "f", Generation: "1", MAC: "m"}
	if got, ok := refreshtoken.Split("v1.k.f.1.m"); !ok || got != want {
		t.Errorf("Split(v1.k.f.1.m) = %+v, %v, want %+v, true", got, ok, want)
	}
	for _, text := range []string{
		"", "v1", "v1.k.f.1", "v1.k.f.1.m.x", "v2.k.f.1.m", "v1.k.f.1.m=", "v1.k.f.1.m\n", "v1.k.f.1.\xff",
		"v1.k.f.1." + strings.Repeat("m", refreshtoken.MaxLen),
	} {
		if _, ok := refreshtoken.Split(text); ok {
			t.Errorf("Split(%q) accepts what is not shaped like a token", text)
		}
	}
}

func TestFamilyNamesTheSession(t *testing.T) {
	if got := refreshtoken.Family("v1.k.f.1.m"); got != "f" {
		t.Errorf("Family(v1.k.f.1.m) = %q, want f", got)
	}
	if got := refreshtoken.Family("other"); got != "other" {
		t.Errorf("Family(other) = %q, want the text itself", got)
	}
}
