package user

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestParseEmail(t *testing.T) {
	label := strings.Repeat("a", 63)
	longDomain := strings.Join([]string{label, label, label}, ".") // 191 bytes
	for _, tt := range []struct{ name, in, want, code string }{
		{"plain", "mina@pond.example", "mina@pond.example", ""},
		{"capitals", "Mina.T@Pond.EXAMPLE", "mina.t@pond.example", ""},
		{"space around it", " \tmina@pond.example\r\n", "mina@pond.example", ""},
		{"plus and dots", "mina.t+frogs@pond.example", "mina.t+frogs@pond.example", ""},
		{"every sign a browser takes", "!#$%&'*+/=?^_`{|}~-.@pond.example", "!#$%&'*+/=?^_`{|}~-.@pond.example", ""},
		{"one label", "mina@localhost", "mina@localhost", ""},
		{"punycode", "mina@xn--frsche-wxa.example", "mina@xn--frsche-wxa.example", ""},
		{"64 bytes before the @", label + "a@pond.example", label + "a@pond.example", ""},
		{"254 bytes", strings.Repeat("b", 62) + "@" + longDomain, strings.Repeat("b", 62) + "@" + longDomain, ""},
		{"empty", "", "", CodeRequired},
		{"space only", " \t ", "", CodeRequired},
		{"255 bytes", strings.Repeat("b", 63) + "@" + longDomain, "", CodeInvalid},
		{"65 bytes before the @", label + "aa@pond.example", "", CodeInvalid},
		{"a label of 64 bytes", "mina@" + label + "a.example", "", CodeInvalid},
		{"a megabyte", strings.Repeat("a", 1<<20) + "@pond.example", "", CodeInvalid},
		{"no @", "mina", "", CodeInvalid},
		{"two @", "mina@pond@example", "", CodeInvalid},
		{"nothing before the @", "@pond.example", "", CodeInvalid},
		{"nothing after the @", "mina@", "", CodeInvalid},
		{"space inside", "mi na@pond.example", "", CodeInvalid},
		{"a line break inside", "mina@pond.example\r\nBcc: all@pond.example", "", CodeInvalid},
		{"a NUL", "mina\x00@pond.example", "", CodeInvalid},
		{"an empty label", "mina@pond..example", "", CodeInvalid},
		{"a dot at the end", "mina@pond.example.", "", CodeInvalid},
		{"a hyphen at the start of a label", "mina@-pond.example", "", CodeInvalid},
		{"a hyphen at the end of a label", "mina@pond-.example", "", CodeInvalid},
		{"an address literal", "mina@[127.0.0.1]", "", CodeInvalid},
		{"a quoted local part", `"mina t"@pond.example`, "", CodeInvalid},
		{"a display name", "Mina <mina@pond.example>", "", CodeInvalid},
		{"a Kelvin sign, which folds to k", "min\u212a@pond.example", "", CodeInvalid},
		{"a dotless i", "m\u0131na@pond.example", "", CodeInvalid},
		{"invalid UTF-8", "min\xff@pond.example", "", CodeInvalid},
		{"a full-width @", "mina\uff20pond.example", "", CodeInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseEmail(tt.in)
			checkField(t, err, FieldEmail, tt.code)
			if got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseName(t *testing.T) {
	for _, tt := range []struct{ name, in, want, code string }{
		{"plain", "Wilhelmina Thunderstone", "Wilhelmina Thunderstone", ""},
		{"one character", "蛙", "蛙", ""},
		{"space around and inside", "  Mina \t T  ", "Mina T", ""},
		{"line breaks", "Mina\r\nSet-Cookie: x=y", "Mina Set-Cookie: x=y", ""},
		{"an escape", "Mina\x1b[31m", "Mina [31m", ""},
		{"markup stays text", `<script>alert("x")</script>`, `<script>alert("x")</script>`, ""},
		{"a family of emoji stays joined", "👩\u200d👧", "👩\u200d👧", ""},
		{"marks that turn the text around", "Mina\u202e\u2066 T\u200f", "Mina T", ""},
		{"invalid UTF-8", "Mina\xff", "Mina\ufffd", ""},
		{"100 characters", strings.Repeat("蛙", 100), strings.Repeat("蛙", 100), ""},
		{"100 characters and space around", " " + strings.Repeat("蛙", 100) + " ", strings.Repeat("蛙", 100), ""},
		{"empty", "", "", CodeRequired},
		{"space only", " \t\u00a0\u3000", "", CodeRequired},
		{"nothing visible", "\u200b\u200d\u2060\ufe0f", "", CodeRequired},
		{"control characters only", "\x00\x01\x7f", "", CodeRequired},
		{"101 characters", strings.Repeat("蛙", 101), "", CodeTooLong},
		{"a megabyte", strings.Repeat("a", 1<<20), "", CodeTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseName(tt.in)
			checkField(t, err, FieldName, tt.code)
			if got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func checkField(t *testing.T, err error, field, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("got %v, want no error", err)
		}
		return
	}
	if want := (FieldError{field, code}); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// TestParsedFieldsAreFixedPoints checks that parsing is idempotent, so that stored values can be
// parsed again and compared.
func TestParsedFieldsAreFixedPoints(t *testing.T) {
	emails := rapid.StringMatching(`[ ]?[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,20}@[A-Za-z0-9-]{1,10}(\.[A-Za-z0-9-]{1,10})?`)
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), emails).Draw(t, "in")
		if email, err := ParseEmail(in); err == nil {
			again, err := ParseEmail(email)
			if err != nil || again != email || strings.Count(email, "@") != 1 || email != strings.ToLower(email) {
				t.Fatalf("e-mail %q parsed again: %q, %v; want the same, in lower case, with one @", email, again, err)
			}
		}
		if name, err := ParseName(in); err == nil {
			again, err := ParseName(name)
			if err != nil || again != name || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) ||
				utf8.RuneCountInString(name) > maxName {
				t.Fatalf("name %q parsed again: %q, %v; want the same, valid and within %d characters", name, again, err, maxName)
			}
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add("Mina <mina@pond.example>")
	f.Add("\x00\u202e\xff")
	f.Fuzz(func(_ *testing.T, s string) {
		_, _ = ParseEmail(s)
		_, _ = ParseName(s)
	})
}
