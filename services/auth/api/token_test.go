package api_test

import (
	"strings"
	"testing"

	"lilypad.example/services/auth/api"
)

const sid = "AAECAwQFBgcICQoLDA0ODw"

func TestARefreshTokenIsParsedIntoWhatItWasMadeOf(t *testing.T) {
	want := api.NewRefreshToken("k1", sid, 1<<53-1)
	want.MAC = strings.Repeat("m", 43)
	if got, ok := api.ParseRefreshToken(want.String()); !ok || got != want {
		t.Errorf("ParseRefreshToken: %+v, %t; want %+v, true", got, ok, want)
	}
}

func TestTextsThatCannotBeRefreshTokensAreRefused(t *testing.T) {
	mac := strings.Repeat("m", 43)
	good := "v1.k1." + sid + ".1." + mac
	for _, text := range []string{
		"", ".", "v1", "v1....", good + ".", "." + good, good + " ", good + "=", good + "m", strings.Repeat("v1.", 2000),
		"v2.k1." + sid + ".1." + mac, "v1.K1." + sid + ".1." + mac, "v1.." + sid + ".1." + mac, "v1.abcdefghijklm." + sid + ".1." + mac,
		"v1.k1.forged.1." + mac, "v1.k1." + sid[:21] + "*.1." + mac, "v1.k1." + sid + ".1." + mac[:42],
		"v1.k1." + sid + ".0." + mac, "v1.k1." + sid + ".01." + mac, "v1.k1." + sid + ".-1." + mac, "v1.k1." + sid + "..1" + mac,
		"v1.k1." + sid + ".9007199254740992." + mac, "v1.k1." + sid + ".99999999999999999." + mac,
	} {
		if got, ok := api.ParseRefreshToken(text); ok {
			t.Errorf("ParseRefreshToken(%.80q): %+v, want it refused", text, got)
		}
	}
}

func TestSessionIDsAreCanonical(t *testing.T) {
	if !api.ValidSessionID(sid) {
		t.Errorf("ValidSessionID(%q) is false, want true", sid)
	}
	for _, s := range []string{"", sid[:21], sid + "A", sid[:21] + "x", sid[:21] + "*", sid[:20] + "\r\n", sid + "\n"} {
		if api.ValidSessionID(s) {
			t.Errorf("ValidSessionID(%q) is true, want false", s)
		}
	}
}

func TestParsingARefreshTokenDoesNotAllocate(t *testing.T) {
	text := "v1.k1." + sid + ".12." + strings.Repeat("m", 43)
	if n := testing.AllocsPerRun(100, func() { _, _ = api.ParseRefreshToken(text) }); n != 0 {
		t.Errorf("ParseRefreshToken made %g allocations, want none", n)
	}
}
