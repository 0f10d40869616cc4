package forward

import (
	"strings"

	"lilypad.example/sidecar/internal/http1"
)

// stripCookies removes our cookies from the value of a Cookie field and leaves the others byte for byte. It returns ""
// when nothing is left.
func stripCookies(value string, ours []string) string {
	found := false
	for pair := range strings.SplitSeq(value, ";") {
		if isOurs(pair, ours) {
			found = true
			break
		}
	}
	if !found {
		return value
	}
	var kept strings.Builder
	for pair := range strings.SplitSeq(value, ";") {
		switch {
		case isOurs(pair, ours):
			continue
		case kept.Len() > 0:
			kept.WriteByte(';')
		default:
			pair = strings.TrimLeft(pair, " \t")
		}
		kept.WriteString(pair)
	}
	return kept.String()
}

// setsOurs reports whether a Set-Cookie value would set or clear one of our cookies. Browsers trim white space, ignore
// case in the prefixes of names, and have taken "=name=value" for a cookie called name.
func setsOurs(value string, ours []string) bool {
	pair, _, _ := strings.Cut(value, ";")
	return isOurs(strings.TrimLeft(pair, " \t="), ours)
}

func isOurs(pair string, ours []string) bool {
	name, _, _ := strings.Cut(pair, "=")
	name = strings.Trim(name, " \t")
	for _, our := range ours {
		if http1.SameName(name, our) {
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
