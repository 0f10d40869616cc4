package http1

import (
	"fmt"
	"strings"
	"testing"
)

// Each byte at each position, so that checking eight bytes at a time cannot miss one.
func TestFieldValueBytes(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		want := c >= ' ' && c != 0x7f || c == '\t'
		for _, around := range []string{"a", "\x80", "\xff", " ", "~", "\t"} {
			for at := range 20 {
				value := []byte(strings.Repeat(around, 20))
				value[at] = byte(c)
				if got := isFieldValue(string(value)); got != want {
					t.Fatalf("isFieldValue(%q) = %v, want %v", value, got, want)
				}
			}
		}
	}
}

func TestTokenBytes(t *testing.T) {
	t.Parallel()
	const tokens = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for c := range 256 {
		if got, want := isTokenByte(byte(c)), c < 128 && strings.Contains(tokens, fmt.Sprintf("%c", c)); got != want {
			t.Errorf("isTokenByte(%q) = %v, want %v", byte(c), got, want)
		}
	}
	if isToken("") {
		t.Error("the empty string is a token, want not")
	}
}

func TestEqualFold(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]string]bool{
		{"Host", "hOST"}: true, {"", ""}: true, {"a", "b"}: false, {"ab", "a"}: false,
		{"k", "\u212a"}: false, {"@", "`"}: false, {"[", "{"}: false, {"^", "~"}: false,
	} {
		if got := equalFold(pair[0], pair[1]); got != want {
			t.Errorf("equalFold of %q = %v, want %v", pair, got, want)
		}
	}
}
