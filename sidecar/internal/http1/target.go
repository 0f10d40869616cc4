package http1

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// absolute is the part of an absolute target that the origin form lacks.
type absolute struct {
	host string // "" unless the target is absolute
	port string // the scheme's default, with the colon
}

// readAbsolute converts an absolute target (RFC 9112 section 3.2.2) to origin or asterisk form.
func (q *Request) readAbsolute() (a absolute, fault *Fault) {
	scheme, rest, found := strings.Cut(q.Target, "://")
	switch {
	case !found || scheme == "" || q.Target[0] == '/' || q.Method == "CONNECT":
		return a, nil
	case equalFold(scheme, "http"):
		a.port = ":80"
	case equalFold(scheme, "https"):
		a.port = ":443"
	default:
		return a, errTarget
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	a.host, q.Target = rest[:end], rest[end:]
	if !IsHost(a.host) {
		return a, errTarget
	}
	switch {
	case q.Target == "" && q.Method == "OPTIONS":
		q.Target = "*"
	case q.Target == "" || q.Target[0] != '/':
		q.Target = "/" + q.Target
	}
	return a, nil
}

// names reports whether the Host field names the same host (RFC 9112 section 3.2).
func (a *absolute) names(host string) bool {
	return equalFold(strings.TrimSuffix(a.host, a.port), strings.TrimSuffix(host, a.port))
}

// readTarget parses the request target (RFC 9112 section 3.2). It accepts the origin form, and the
// asterisk form for OPTIONS. It refuses CONNECT, which would make the sidecar an open proxy.
func (q *Request) readTarget(limit int) *Fault {
	if len(q.Target) > limit {
		return errTargetLength
	}
	for i := range len(q.Target) {
		if c := q.Target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return errTargetBytes
		}
	}
	if q.Target == "*" && q.Method == "OPTIONS" {
		q.RawPath, q.Path = "*", "*"
		return nil
	}
	if q.Method == "CONNECT" || q.Target == "" || q.Target[0] != '/' {
		return errTarget
	}
	q.RawPath = q.Target
	if i := strings.IndexByte(q.Target, '?'); i >= 0 {
		q.RawPath, q.RawQuery = q.Target[:i], q.Target[i+1:]
	}
	var ok bool
	if q.Path, ok = readPath(q.RawPath); !ok {
		return errPath
	}
	return nil
}

// ReadTarget returns the decoded path of target, the one that all decisions use. It returns the
// error with which a request of this method and target would be refused.
func ReadTarget(method, target string) (path string, err error) {
	q := Request{Method: method, Target: target}
	switch {
	case !isToken(method):
		return "", errRequestLine
	case method == "TRACE":
		return "", errMethod
	}
	if fault := q.readTarget(defaultTargetBytes); fault != nil {
		return "", fault
	}
	return q.Path, nil
}

// readPath decodes a path, and accepts it only if every server behind the sidecar must interpret it
// in the same way. Servers that decode twice, merge slashes, resolve dot segments, take a backslash
// for a slash, or cut parameters off a segment ("..;x") would otherwise serve another path than the
// one that was authorized.
func readPath(raw string) (string, bool) {
	path := raw
	if strings.IndexByte(raw, '%') >= 0 {
		var ok bool
		if path, ok = percentDecode(raw); !ok {
			return "", false
		}
	}
	start := 1
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if path[i] == '\\' {
				return "", false
			}
			continue
		}
		segment := path[start:i]
		if segment == "" && i < len(path) || isDots(segment) {
			return "", false
		}
		start = i + 1
	}
	return path, true
}

// percentDecode decodes once. It refuses invalid encodings, encoded separators and control
// characters, invalid UTF-8, and results that could be decoded again.
func percentDecode(raw string) (string, bool) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) {
				return "", false
			}
			high, ok1 := unhex(raw[i+1])
			low, ok2 := unhex(raw[i+2])
			c = high<<4 | low
			if !ok1 || !ok2 || c == '/' || c == '\\' || c < ' ' || c == 0x7f {
				return "", false
			}
			i += 2
		}
		out = append(out, c)
	}
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			_, ok1 := unhex(out[i+1])
			_, ok2 := unhex(out[i+2])
			if ok1 && ok2 {
				return "", false
			}
		}
	}
	if !utf8.Valid(out) {
		return "", false
	}
	return string(out), true
}

// isDots reports whether a segment is "." or "..", ignoring parameters.
func isDots(segment string) bool {
	if segment == "" || segment[0] != '.' {
		return false
	}
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
}

// IsHost reports whether s is a name, an IPv4 address or an IPv6 address in brackets, with an
// optional port. RFC 3986 allows more in a name (percent-encoding, sub-delimiters, user
// information), which no HTTP host needs.
func IsHost(s string) bool {
	var port string
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		addr, err := netip.ParseAddr(s[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
		if port = s[end+1:]; port == "" {
			return true
		}
	} else {
		colon := strings.IndexByte(s, ':')
		if colon < 0 {
			colon = len(s)
		}
		var host string
		host, port = s[:colon], s[colon:]
		if host == "" || len(host) > 255 {
			return false
		}
		for i := range len(host) {
			if c := lower(host[i]); (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
				return false
			}
		}
		if port == "" {
			return true
		}
	}
	if port[0] != ':' || len(port) < 2 || len(port) > 6 {
		return false
	}
	for i := 1; i < len(port); i++ {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
	}
	return true
}
