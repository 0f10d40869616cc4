package cookie

import (
	"strconv"
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// MayBe reports whether some server parses pair, the text between two semicolons of a
// Cookie field, as a cookie called name. RFC 6265 accepts only name=value, but other
// servers
//
//   - ignore the case of a name (ASP.NET), or white space around it, that of
//     Unicode included (Django, ASP.NET),
//   - decode it (PHP: CVE-2020-7070; Rack: CVE-2020-8184) or replace characters
//     in it (PHP: CVE-2022-31629),
//   - end a cookie at white space (Python's http.cookies) or, as RFC 2965 has
//     it, at a comma (Tomcat, Jetty).
//
// So MayBe looks at each word of pair that can be a name, and compares only letters
// and digits. Most of name must consist of these.
func MayBe(pair, name string) bool {
	value := false // whether text begins with the value of a cookie
	for {
		text, rest, found := strings.Cut(pair, "=")
		if value && !found {
			return false
		}
		// A fast path: few names are as long as ours.
		if len(text) > len(name)/2 && hasWord(text, name, value) {
			return true
		}
		if !found {
			return false
		}
		value = strings.Trim(text, " \t") != ""
		pair = rest
	}
}

// hasWord reports whether a word of text is name. The first one is left out if
// it is a value.
func hasWord(text, name string, value bool) bool {
	for start := 0; start < len(text); {
		end := start
		for end < len(text) && isWord(text[end]) {
			end++
		}
		if (start > 0 || !value) && sameLetters(text[start:end], name) {
			return true
		}
		start = end + 1
	}
	return false
}

// isWord reports whether c can be part of one of our names, percent-encoded or not.
func isWord(c byte) bool { return isLetter(c) || c == '-' || c == '_' || c == '%' }

// isLetter reports whether c is a letter or a digit of ASCII.
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// sameLetters compares the letters and digits of two words without regard to
// case.
func sameLetters(a, b string) bool {
	for {
		var x, y byte
		x, a = nextLetter(a)
		y, b = nextLetter(b)
		if x != y {
			return false
		}
		if x == 0 {
			return true
		}
	}
}

// nextLetter returns the next letter (in lower case) or digit of s, percent-decoded,
// and the rest of s. letter is 0 at the end.
func nextLetter(s string) (letter byte, rest string) {
	for s != "" {
		c, n := s[0], 1
		if c == '%' && len(s) > 2 {
			if code, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				c, n = byte(code), 3
			}
		}
		s = s[n:]
		if isLetter(c) {
			return c | 0x20, s // lower case; digits stay the same
		}
	}
	return 0, ""
}

// Sent reports whether some server finds one of our cookies in h.
func Sent(h http1.Header) bool {
	for header := range h.Values("Cookie") {
		for pair := range strings.SplitSeq(header, ";") {
			for _, name := range Names() {
				if MayBe(pair, name) {
					return true
				}
			}
		}
	}
	return false
}
