package password

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestLength(t *testing.T) {
	const varied = "walnut quay zephyr plinth "
	long := strings.Repeat(varied, 6) // 156 characters
	for _, tt := range []struct {
		name     string
		password string
		want     error
	}{
		{"empty", "", ErrRequired},
		{"one character", "x", ErrTooShort},
		{"14 characters", "walnut quay ze", ErrTooShort},
		{"15 characters", "walnut quay zep", nil},
		{"64 characters", long[:64], nil},
		{"128 characters", long[:128], nil},
		{"129 characters", long[:129], ErrTooLong},
		{"a megabyte", strings.Repeat("x", 1<<20), ErrTooLong},
		{"15 characters of 4 bytes", "🐸🌿💧🌞🌙⭐🍀🪷🐛🦋🐝🐞🦗🐌🦎", nil},
		{"128 characters of 4 bytes", strings.Repeat("🐸🌿💧🌞🌙⭐🍀🪷🐛🦋🐝🐞🦗🐌🦎🪰", 8), nil},
		{"14 characters, 28 bytes", "äöüßéèêëàâáîïô", ErrTooShort},
		{"15 characters, decomposed into 20 code points", norm.NFD.String("wälnüt quäy zép"), nil},
		{"14 characters, decomposed into 18 code points", norm.NFD.String("wälnüt quäy zé"), ErrTooShort},
		{"128 characters, decomposed", norm.NFD.String(strings.Repeat("wälnüt quäy zéphyr plínth sphìnx", 4)), nil},
		{"spaces count like other characters", "w a l n u t q u", nil},
		{"leading and trailing spaces count", "  walnut quay  ", nil},
		{"invalid UTF-8", "walnut quay \xff\xfe\xfd", nil},
		{"a NUL", "walnut\x00quay zephyr", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Check(tt.password); got != tt.want { //nolint:errorlint // the values themselves are the contract
				t.Fatalf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNoCompositionRules(t *testing.T) {
	for _, password := range []string{
		"walnutquayzephyr",             // lower case only
		"WALNUTQUAYZEPHYR",             // capitals only
		"830174659201736",              // digits only
		"!?%&/()=#*~^<>{}",             // symbols only
		"correct horse battery staple", // a phrase
		"tadpoles in the pond",
		"purple monkey dishwasher",
		"we were here before you",
		"Я люблю зелёных лягушек",
		"蛙が池に飛び込む水の音がする夜",
		"kJ3$hd82Jd_q0zPw",
		"frogs like wet feet",
		"my lilypad is mine",
		"2026 was a good year",
	} {
		if err := Check(password, "kermit@example.com", "Kermit"); err != nil {
			t.Errorf("%q: %v, want no error", password, err)
		}
	}
}

func TestCommonPasswords(t *testing.T) {
	for name, passwords := range map[string][]string{
		"one character": {"aaaaaaaaaaaaaaa", "...............", "               ", "蛙蛙蛙蛙蛙蛙蛙蛙蛙蛙蛙蛙蛙蛙蛙"},
		"repetition": {
			"passwordpassword", "PasswordPassword1!", "abcabcabcabcabc", "abcabcabcabcabcX", "walnutwalnutwalnut",
			"walnut walnut walnut", "xk7xk7xk7xk7xk7x", "121212121212121212", "aaaaaaaabbbbbbbb", "lilypad lilypad lilypad",
		},
		"sequences": {
			"123456789012345", "987654321098765", "abcdefghijklmnop", "zyxwvutsrqponmlk", "abcdefg1234567890", "0123456789abcdef",
			"1234567890123456789012345678901234567890",
		},
		"adjacent keys": {
			"qwertyuiopasdfgh", "qwertyuiopasdfg1", "asdfghjklzxcvbnm", "1qaz2wsx3edc4rfv", "1q2w3e4r5t6y7u8i", "poiuytrewqlkjhgf",
			"azertyuiopqsdfgh", "qwertzuiopasdfgh", "zaq1zaq1zaq1zaq1", "qwerty123456789!",
		},
		"words and decoration": {
			"Password12345678!", "p@ssw0rd12345678", "P4$$w0rdP4$$w0rd", "password-password-1", "admin admin admin 2024!",
			"letmein123456789", "iloveyou1234567!", "welcomewelcome2026", "ＰＡＳＳＷＯＲＤ１２３４５６７", "Sunshine!Sunshine!",
			"summer2025summer", "p-a-s-s-w-o-r-d-1-2-3", "thisismypassword1", "thequickbrownfox!", "monkeydragontiger",
		},
		"this product":    {"lilypadlilypad1", "lilypad-frog-2026", "frogfrogfrogfrog!", "L1lyp@d-frogs-123", "phrog phrog phrog"},
		"the user's name": {"Wilhelmina12345", "wilhelmina-thunderstone", "thunderstone2026!", "Wilhelmina Wilhelmina"},
		"the user's address": {
			"mina.t@pondmail.example", "mina.t@pondmail.example1", "mina.tpondmail123", "pondmail.example12", "pondmailpondmail!",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, password := range passwords {
				if err := Check(password, "mina.t@pondmail.example", "Wilhelmina Thunderstone"); err != ErrCommon { //nolint:errorlint // as above
					t.Errorf("%q: %v, want ErrCommon", password, err)
				}
			}
		})
	}
}

func TestContextAppliesToOneUser(t *testing.T) {
	const password = "thunderstone2026!"
	if err := Check(password, "someone@else.example", "Someone Else"); err != nil {
		t.Fatal(err)
	}
}

func TestRandomPasswordsAreNeverCommon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Different characters, none adjacent on a keyboard or in the alphabet: like generated
		// passwords.
		alphabet := rapid.Permutation([]rune("adgjmpsvyBEHKNQTWZ258")).Draw(t, "characters")
		if err := Check(string(alphabet[:MinLength])); err != nil {
			t.Fatalf("%q: %v, want no error", string(alphabet[:MinLength]), err)
		}
	})
}

func TestCheckDependsOnlyOnTheNormalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.String().Draw(t, "password")
		word := rapid.StringN(0, 40, 300).Draw(t, "context")
		got := Check(password, word)
		if !utf8.ValidString(password) {
			return
		}
		if composed, decomposed := Check(norm.NFC.String(password), word), Check(norm.NFD.String(password), word); composed != got || decomposed != got { //nolint:errorlint // sentinels
			t.Fatalf("%q: %v, composed %v, decomposed %v; want the same", password, got, composed, decomposed)
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add("Password12345678!", "mina@pondmail.example")
	f.Add("\xff\xfe", "\x00")
	f.Add(strings.Repeat("qw", 64), "")
	f.Fuzz(func(_ *testing.T, password, context string) { _ = Check(password, context) })
}

func BenchmarkCheck(b *testing.B) {
	worst := strings.Repeat("qwertzaqwsxcderfv", 8)[:127] + "!"
	for b.Loop() {
		_ = Check(worst, "mina.t@pondmail.example", "Wilhelmina Thunderstone")
	}
}
