package route

import (
	"net/url"
	"strings"
)

// Stripped returns the target that the upstream gets, and the prefix that it lacks, of a request
// whose decoded path is path. ok is false if r strips its prefix and path, as it is written, does
// not begin with that: r decides about the request because of a path that reads the same to some
// servers, and there is no telling what the app would make of the rest.
func (r *Route) Stripped(target, path string) (rest, prefix string, ok bool) {
	if !r.Strip {
		return target, "", true
	}
	if !r.covers(path) {
		return "", "", false
	}
	prefix = strings.TrimSuffix(r.Prefix, "/")
	// No encoded slash is in a path, so the prefix is as many segments as are in r.Prefix.
	before, query, hasQuery := strings.Cut(target, "?")
	at := 0
	for range strings.Count(prefix, "/") {
		next := strings.IndexByte(before[at+1:], '/')
		if next < 0 {
			at = len(before)
			break
		}
		at += 1 + next
	}
	rest = before[at:]
	if rest == "" {
		rest = "/"
	}
	if hasQuery {
		rest += "?" + query
	}
	return rest, (&url.URL{Path: prefix}).EscapedPath(), true
}
