package layout

import "strings"

const maxNext = 2048

// Next returns path if it may be the target after sign-in, and "" if not. The sidecar decides for
// itself where it redirects; this only keeps invalid targets out of the page. Browsers read a
// backslash as a slash and drop control characters, so "/\host" and "/<tab>/host" leave the origin.
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
