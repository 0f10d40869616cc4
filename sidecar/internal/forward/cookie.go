package forward

import (
	"strings"

	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/http1"
)

// Cookies returns the cookies of a request except ours as the value of one Cookie field, or "".
func (f *Forwarder) Cookies(h http1.Header) string {
	var fields []string
	for value := range h.Values("Cookie") {
		if others, kept := appendOthers(nil, value, f.cookies); kept {
			fields = append(fields, string(others))
		}
	}
	return strings.Join(fields, "; ")
}

// appendCookies appends a Cookie field without our cookies, or nothing at all when no other is
// left.
func appendCookies(dst []byte, name, value string, ours []string) []byte {
	start := len(dst)
	dst, kept := appendOthers(append(append(dst, name...), ": "...), value, ours)
	if !kept {
		return dst[:start]
	}
	return append(dst, "\r\n"...)
}

// appendOthers appends the cookies of value that are not ours, byte for byte, and reports whether
// there is one.
func appendOthers(dst []byte, value string, ours []string) (all []byte, kept bool) {
	removed := false
	for rest, more := value, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		switch {
		case isOurs(pair, ours):
			removed = true
			continue
		case kept:
			dst = append(dst, ';')
		case removed:
			pair = strings.TrimLeft(pair, " \t")
		}
		dst = append(dst, pair...)
		kept = true
	}
	return dst, kept
}

// setsOurs reports whether a Set-Cookie value would set or clear one of our cookies. Browsers trim
// white space, ignore case in the prefixes of names, and have taken "=name=value" for a cookie
// called name.
func setsOurs(value string, ours []string) bool {
	pair, _, _ := strings.Cut(value, ";")
	return isOurs(pair, ours)
}

// isOurs reports whether an upstream may take pair for one of our cookies.
func isOurs(pair string, ours []string) bool {
	for _, our := range ours {
		if cookie.MayBe(pair, our) {
			return true
		}
	}
	return false
}

// clearsCookies reports whether a Clear-Site-Data value would make the browser forget our cookie.
func clearsCookies(value string) bool {
	value = strings.ToLower(value)
	return strings.Contains(value, "cookies") || strings.Contains(value, "*")
}
