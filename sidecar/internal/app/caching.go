package app

import (
	"strings"
	"time"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

// setCookieWindow is how long after its request a response may carry Set-Cookie.
// Late responses omit it, because it could overwrite a newer token: the browser
// would go back to a token that was rotated twice since, which looks like theft, or
// lose the cookie of a new login. The next response carries it instead. The window
// is no longer than the auth service's minimum rotation interval, so that no two
// rotations fit into it.
const setCookieWindow = 5 * time.Second

// responseEdit returns what is added to a response to v that took so long: the
// Set-Cookie values, and Cache-Control: no-store unless the application has
// Cache-Control of its own.
func responseEdit(header http1.Header, v *visit, took time.Duration) forward.ResponseEdit {
	var edit forward.ResponseEdit
	control := strings.ToLower(header.Get("Cache-Control"))
	if !shared(control) && took <= setCookieWindow {
		edit.SetCookie = v.SetCookies
	}
	switch {
	case control == "" && (v.SignedIn() || edit.SetCookie != nil):
		edit.CacheControl = "no-store"
	case edit.SetCookie != nil && !strings.Contains(control, "private") && !strings.Contains(control, "no-store"):
		edit.CacheControl = "private, " + control
	}
	return edit
}

// shared reports whether a shared cache may store a response with this
// Cache-Control (RFC 9111 section 3): a cookie in it would reach other people.
func shared(control string) bool {
	if strings.Contains(control, "no-store") || strings.Contains(control, "private") {
		return false
	}
	for directive := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "public", "s-maxage", "immutable":
			return true
		case "max-age":
			if strings.Trim(value, `"0`) != "" {
				return true
			}
		}
	}
	return false
}
