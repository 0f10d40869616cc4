package layout

import "strings"

const maxNext = 2048

// Next returns path if it may be where signing in leads back to, and "" if
// not. The sidecar decides for itself when it redirects; this only keeps
// nonsense out of the page. A browser reads a backslash as a slash and drops
// control characters, so that "/\host" and "/<tab>/host" leave the origin.
func Next(path string) string {
	if len(path) > maxNext || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\") {
		return ""
	}
	for _, c := range []byte(path) {
		if c < 0x20 || c == 0x7f {
			return ""
		}
	}
	return path
}
