package http1

import (
	"fmt"
	"strings"
	"testing"
)

// Each byte at each place, so that looking at eight bytes at a time cannot miss one.
func TestFieldValueBytes(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		want := c >= ' ' && c != 0x7f || c == '\t'
		for _, around := range []string{"a", "\x80", "\xff", " ", "~", "\t"} {
			for at := range 20 {
				value := []byte(strings.Repeat(around, 20))
				value[at] = byte(c)
				if got := isFieldValue(string(value)); got != want {
					t.Fatalf("%q: %v", value, got)
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
			t.Errorf("%q: %v", byte(c), got)
		}
	}
	if isToken("") {
		t.Error("the empty string is a token")
	}
}

func TestEqualFold(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]string]bool{
		{"Host", "hOST"}: true, {"", ""}: true, {"a", "b"}: false, {"ab", "a"}: false,
		{"k", "\u212a"}: false, {"@", "`"}: false, {"[", "{"}: false, {"^", "~"}: false,
	} {
		if got := equalFold(pair[0], pair[1]); got != want {
			t.Errorf("%q: %v", pair, got)
		}
	}
}
