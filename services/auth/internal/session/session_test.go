package session_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lilypad.example/services/auth/internal/session"
)

func ring(t testing.TB, text string) *session.Ring {
	t.Helper()
	r, err := session.ParseRing([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const k1, k2 = "k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "k2 AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

func TestTokenRoundTrip(t *testing.T) {
	r := ring(t, k1+k2)
	rapid.Check(t, func(t *rapid.T) {
		want := session.Token{
			KeyID: rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "key"), Family: session.NewFamilyID(),
			Generation: rapid.Uint64Range(1, 1<<53-1).Draw(t, "generation"),
		}
		text, err := r.Mint(want)
		if err != nil || len(text) >= 200 {
			t.Fatalf("Mint: %q (%d bytes), %v; want less than 200 bytes and no error", text, len(text), err)
		}
		got, err := r.Parse(text)
		if err != nil || got != want {
			t.Fatalf("Parse: %+v, %v; want %+v", got, err, want)
		}
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		forged := text[:i] + string(text[i]^byte(rapid.IntRange(1, 127).Draw(t, "bits"))) + text[i+1:]
		if _, err := r.Parse(forged); !errors.Is(err, session.ErrMalformed) && !errors.Is(err, session.ErrUnknownKey) {
			t.Fatalf("Parse(%q), forged from %q: error %v, want ErrMalformed or ErrUnknownKey", forged, text, err)
		}
	})
}

func TestForeignTextsAreNoTokens(t *testing.T) {
	r := ring(t, k1)
	good, err := r.Mint(session.Token{KeyID: "k1", Family: session.NewFamilyID(), Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := ring(t, k2).Mint(session.Token{KeyID: "k2", Family: session.NewFamilyID(), Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", ".", "v1", "v1....", good + ".", "." + good, good + " ", strings.ToUpper(good), strings.Repeat("v1.", 2000),
		strings.Replace(good, ".1.", ".01.", 1), strings.Replace(good, ".1.", ".0.", 1), strings.Replace(good, ".1.", ".-1.", 1),
		strings.Replace(good, "v1.", "v2.", 1), good + "=", "v1.k1.*.1." + good[len(good)-43:],
	} {
		if _, err := r.Parse(text); !errors.Is(err, session.ErrMalformed) {
			t.Errorf("Parse(%.80q): error %v, want ErrMalformed", text, err)
		}
	}
	if got, err := r.Parse(other); !errors.Is(err, session.ErrUnknownKey) || got.KeyID != "k2" {
		t.Errorf("token of another ring: %+v, error %v; want key k2 and ErrUnknownKey", got, err)
	}
	for _, id := range []string{"", "*", "{}", "a\r\nb", strings.Repeat("A", 4096), strings.Repeat("A", 21) + "*", strings.Repeat("A", 21) + "B", strings.Repeat("A", 20) + "\r\n"} {
		if _, err := session.ParseFamilyID(id); err == nil {
			t.Errorf("ParseFamilyID(%.40q) succeeded, want an error", id)
		}
	}
}

func TestFamiliesAreDistinct(t *testing.T) {
	seen := make(map[session.FamilyID]bool, 100_000)
	for range 100_000 {
		id := session.NewFamilyID()
		if seen[id] {
			t.Fatalf("NewFamilyID returned %s twice", id)
		}
		seen[id] = true
	}
}

func TestRingFirstSignsAllVerify(t *testing.T) {
	before, during, after := ring(t, k1), ring(t, k1+k2), ring(t, k2+k1)
	text, err := before.Mint(session.Token{KeyID: before.SigningKey(), Family: session.NewFamilyID(), Generation: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*session.Ring{during, after} {
		if _, err := r.Parse(text); err != nil {
			t.Errorf("token signed before the ring changed: error %v, want none", err)
		}
	}
	if during.SigningKey() != "k1" || after.SigningKey() != "k2" {
		t.Errorf("signing keys %s, %s; want k1, k2", during.SigningKey(), after.SigningKey())
	}
}

func TestRingReportsAllFaultsAndNoKey(t *testing.T) {
	_, err := session.ParseRing([]byte("short AAAA\nnot base64 at all\nUPPER AAAA\n" + k1 + k1 + "# a comment\n\nalone\n"))
	if err == nil {
		t.Fatal("ParseRing of an invalid ring succeeded, want an error")
	}
	for _, want := range []string{"line 1", "line 2", "line 3", "line 5", "line 8", "3 bytes, want 32", "twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "AAAA") {
		t.Errorf("error shows a key: %v", err)
	}
	if _, err := session.ParseRing(nil); err == nil || !strings.Contains(err.Error(), "auth keys generate") {
		t.Errorf("empty ring: error %v, want a hint at `auth keys generate`", err)
	}
	if _, err := session.ParseRing([]byte(session.NewRingLine())); err != nil {
		t.Errorf("generated ring: error %v, want none", err)
	}
}

func TestPresenterIsStableAcrossRingChanges(t *testing.T) {
	tok := session.Token{KeyID: "k1", Family: session.NewFamilyID(), Generation: 1}
	a := ring(t, k1).PresenterDigest(tok, "Firefox", "192.0.2.0/24")
	if b := ring(t, k2+k1).PresenterDigest(tok, "Firefox", "192.0.2.0/24"); a != b {
		t.Errorf("digest %s became %s with another signing key, want it unchanged", a, b)
	}
	if c := ring(t, k1).PresenterDigest(tok, "Firefox", "198.51.100.0/24"); a == c {
		t.Errorf("another network has the same digest %s, want another", a)
	}
}
