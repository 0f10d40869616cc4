package route

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A Reading is one way in which a server may interpret a request, and the route for it.
type Reading struct {
	Path  string
	Route *Route
}

var (
	errMethod = errors.New("methods must be in upper case because some servers ignore case")
	errDots   = errors.New("a path segment must not consist of dots and spaces: some servers drop it or read it as \"..\"")
)

// Readings returns how servers may interpret a request: first as it is written, then in every other
// way that some route is for. It returns none if no route matches the request as it is written, and
// an error if no interpretation is safe.
//
// A route that covers a path as it is written covers it in every reading. So wider routes are
// irrelevant, and it remains to check which of the others cover the folded path.
func (t *Table) Readings(method, path string) ([]Reading, error) {
	return t.appendReadings(nil, method, path)
}

// appendReadings appends the Readings to to, which avoids an allocation.
func (t *Table) appendReadings(to []Reading, method, path string) ([]Reading, error) {
	method, err := routeMethod(method)
	if err != nil {
		return to, err
	}
	plain, err := fold(path)
	if err != nil {
		return to, err
	}
	literal := t.literal(method, path)
	if literal == nil {
		return to, nil
	}
	to = append(to, Reading{path, literal})
	routes := t.odd
	if plain != path {
		routes = t.ordered
	}
	for _, r := range routes {
		if len(r.plain) < len(literal.plain) || !r.mayCover(plain) || !r.takes(method) {
			continue
		}
		// Both cover the path as it is written, and the literal route is more specific. It is so in
		// every reading, unless the path is r's own and the two spell it differently (/a and /a/).
		if r.covers(path) && (len(r.plain) < len(plain) || r.where() == literal.where()) {
			continue
		}
		// Of two routes with the same path, the one for certain methods came first.
		if !slices.ContainsFunc(to, func(o Reading) bool { return o.Route.samePlace(r) }) {
			to = append(to, Reading{plain, r})
		}
	}
	return to, nil
}

// strictest returns the first route that is at least as strict as all others, or nil.
func strictest(readings []Reading) *Route {
	for _, a := range readings {
		if !slices.ContainsFunc(readings, func(b Reading) bool { return !a.Route.asStrictAs(b.Route) }) {
			return a.Route
		}
	}
	return nil
}

// asStrictAs reports whether r is at least as strict as o: everyone whom r admits, o admits too,
// and o does not identify visitors whom r leaves anonymous (Optional is stricter than Public).
func (r *Route) asStrictAs(o *Route) bool {
	return r.Policy.rank() >= o.Policy.rank() &&
		(o.Policy.Role() == "" || r.Policy == o.Policy) &&
		(o.maxAge == 0 || r.maxAge > 0 && r.maxAge <= o.maxAge) &&
		(len(o.ACR) == 0 || len(r.ACR) > 0 && !slices.ContainsFunc(r.ACR, func(class string) bool { return !o.TakesACR(class) }))
}

// rank orders policies from open to strict. All roles are equal.
func (p Policy) rank() int {
	switch p {
	case Public:
		return 0
	case Optional:
		return 1
	case Session:
		return 2
	}
	return 3
}

// mayCover reports whether r covers a folded path in some spelling.
func (r *Route) mayCover(plain string) bool {
	if r.Path != "" {
		return plain == r.plain
	}
	return within(plain, r.plain)
}

// routeMethod returns the method with which routes are looked up. HEAD is looked up as GET, because
// servers answer it like GET (RFC 9110 section 9.3.2). Methods are case-sensitive, but not on every
// server, so one with lower-case letters is refused.
func routeMethod(method string) (string, error) {
	for i := range len(method) {
		if 'a' <= method[i] && method[i] <= 'z' {
			return "", errMethod
		}
	}
	if method == http.MethodHead {
		return http.MethodGet, nil
	}
	return method, nil
}

// fold removes from a decoded path everything that some server ignores: letter case and Unicode
// variants of letters, parameters (";x=1"), spaces around and dots behind a segment, empty segments
// and the trailing slash, and what a server that decodes too early would take for a query or
// fragment.
//
// It returns an error if a segment consists of dots and spaces, which some servers interpret as
// "..". A path that is folded already is returned unchanged.
func fold(path string) (string, error) {
	if path == "" || path[0] != '/' || isFolded(path) {
		return path, nil
	}
	text := strings.ToLower(path)
	if isFolded(text) {
		return text, nil
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c >= utf8.RuneSelf }) {
		text = foldUnicode(path)
	}
	var b strings.Builder
	b.Grow(len(text))
	ended := false
	for segment := range strings.SplitSeq(text[1:], "/") {
		name := segment
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			name = segment[:end]
		}
		kept := strings.TrimLeftFunc(name, unicode.IsSpace)
		kept = strings.TrimRightFunc(kept, func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
		switch {
		case kept == "" && name != "":
			return "", errDots
		case kept != "" && !ended:
			b.WriteString("/" + kept)
		}
		ended = ended || strings.ContainsAny(segment, "?#")
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}

// isFolded reports whether fold would return path unchanged. It is fast because it runs on the path
// of every request, and most paths are folded.
func isFolded(path string) bool {
	before := byte(0)
	for i := range len(path) {
		c := path[i]
		if c <= 'Z' || c >= utf8.RuneSelf {
			switch {
			case c >= 'A', c == ' ', c == ';', c == '?', c == '#', c == '/' && (before == '.' || before == '/'):
				return false
			}
		}
		before = c
	}
	return before != '.' && (before != '/' || len(path) == 1)
}

// foldUnicode maps characters that are equal on some server to one form, without compatibility
// variants (full-width letters, the Kelvin sign), case, accents and invisible characters.
func foldUnicode(s string) string {
	// Via upper case, because ı and ſ have the upper case of i and s.
	s = strings.ToLower(strings.ToUpper(norm.NFKD.String(s)))
	s = strings.ReplaceAll(s, "ß", "ss") // its upper case is SS
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\\': // from its full-width variant; http1 refuses the ASCII one
			return '/'
		case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
			return -1
		}
		return c
	}, s)
}
