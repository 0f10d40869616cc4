// Package redirect validates redirect targets: after sign-in, a browser is sent only
// to a path of its own origin (no open redirects).
package redirect

import (
	"net/netip"
	"net/url"
	"strings"
)

const maxLen = 1024 // bytes

// The pages under /auth/ that are safe targets.
const (
	KeptForm = "/auth/form" // offers a kept form
	Account  = "/auth/account"
)

// Provider returns the path that begins a sign-in with an identity provider.
func Provider(id string) string { return "/auth/login/" + url.PathEscape(id) }

// Away returns address if it is the absolute URL of a web page elsewhere, as the auth service names
// those of identity providers, and otherwise "". Plain http is for this machine alone.
func Away(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.ContainsFunc(address, altered) || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return address
	}
	return ""
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Within returns what Safe returns for the path and query of address if that is a URL of origin,
// and otherwise "".
func Within(origin, address string) string {
	rest, ok := strings.CutPrefix(address, origin)
	if !ok {
		return ""
	}
	return Safe(rest)
}

// Safe returns next if it is a path of the browser's own origin, and otherwise "". It
// refuses whatever two parsers might read differently.
func Safe(next string) string {
	if len(next) > maxLen || strings.ContainsFunc(next, altered) {
		return ""
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	// The application may decode the path once more, so both forms are checked.
	raw, _, _ := strings.Cut(next, "?")
	raw, _, _ = strings.Cut(raw, "#")
	if !ownPath(raw) || !ownPath(u.Path) {
		return ""
	}
	// Everything else there is an endpoint, or a page that leads to next itself.
	if next == KeptForm || next == Account {
		return next
	}
	if u.Path == "/auth" || strings.HasPrefix(u.Path, "/auth/") {
		return ""
	}
	return next
}

// altered reports whether browsers drop or rewrite c in a URL.
func altered(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f || c == '\uFFFD' }

// ownPath reports whether path begins with exactly one slash, and has no empty
// segments, no dot segments, no backslashes and no control characters.
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

// ToPage returns the URL of a page of the application, with target, the path and query
// of a request, as next. code becomes the parameter error, unless it is empty.
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
