// Package redirect decides where a browser may be sent after signing in: only
// to a path of the origin that it is on, as a browser would read it (R3).
package redirect

import (
	"net/url"
	"strings"
)

const maxLen = 1024

// KeptForm is our own page that offers a kept form again: the one of our
// addresses that signing in may lead to.
const KeptForm = "/auth/form"

// Safe returns next if a browser takes it for a path of its own origin, and
// otherwise "". It is strict where browsers are lenient: what two parsers read
// differently is refused.
func Safe(next string) string {
	if len(next) > maxLen || strings.ContainsFunc(next, altered) {
		return ""
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	// An application that decodes the path once more must not find another
	// origin in it either: both forms are looked at.
	raw, _, _ := strings.Cut(next, "?")
	raw, _, _ = strings.Cut(raw, "#")
	if !ownPath(raw) || !ownPath(u.Path) {
		return ""
	}
	// Our own endpoints take no navigation: it would end in an error.
	if next == KeptForm {
		return next
	}
	if u.Path == "/auth" || strings.HasPrefix(u.Path, "/auth/") {
		return ""
	}
	return next
}

// altered reports whether a browser drops or rewrites c in an address.
func altered(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f || c == '\uFFFD' }

// ownPath reports whether a path begins with exactly one slash, has no empty
// and no dot segments, and nothing that becomes a slash or vanishes.
func ownPath(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f })
}

// ToPage returns the address of a page of the application that leads back to
// target, the path and query of a request. code, if not empty, tells the page
// why the browser was sent there, as for a form that failed.
func ToPage(page, target, code string) string {
	q := make(url.Values)
	if code != "" {
		q.Set("error", code)
	}
	if next := Safe(target); next != "" && next != "/" {
		q.Set("next", next)
	}
	if len(q) == 0 {
		return page
	}
	return page + "?" + q.Encode()
}
