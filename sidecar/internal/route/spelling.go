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

// A Reading is one way in which a server may interpret a path, and the route for it.
type Reading struct {
	Path  string
	Route *Route
}

var (
	errMethod = errors.New("some servers ignore the case of a method, so it must be in capitals")
	errDots   = errors.New("some servers drop a segment of dots and spaces alone, or read it as \"..\"")
)

// Readings returns the ways in which servers may interpret a request: as written
// first, then every other one that has a route. It returns none if no route matches
// the request as written, and fails if no interpretation is safe.
//
// A route that covers a path as written covers it in every reading. So only routes
// that are not wider matter, and they matter if they cover the folded path.
func (t *Table) Readings(method, path string) ([]Reading, error) {
	return t.appendReadings(nil, method, path)
}

// appendReadings appends Readings to to, to save an allocation.
func (t *Table) appendReadings(to []Reading, method, path string) ([]Reading, error) {
	method, err := judged(method)
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
		// Both match the path as written, and the literal one is more specific. It stays
		// so in every reading, unless the path is r's own and the two spell it
		// differently (/a and /a/).
		if r.covers(path) && (len(r.plain) < len(plain) || r.where() == literal.where()) {
			continue
		}
		// Of two routes with the same path, the one for some methods came first.
		if !slices.ContainsFunc(to, func(o Reading) bool { return o.Route.samePlace(r) }) {
			to = append(to, Reading{plain, r})
		}
	}
	return to, nil
}

// strictest returns the first route that is as strict as all others, or nil.
func strictest(readings []Reading) *Route {
	for _, a := range readings {
		if !slices.ContainsFunc(readings, func(b Reading) bool { return !a.Route.asStrictAs(b.Route) }) {
			return a.Route
		}
	}
	return nil
}

// asStrictAs reports whether everyone who passes r also passes o, and whether r
// requires at least as much knowledge about the visitor.
func (r *Route) asStrictAs(o *Route) bool {
	return r.Policy.rank() >= o.Policy.rank() &&
		(o.Policy.Role() == "" || r.Policy == o.Policy) &&
		(o.maxAge == 0 || r.maxAge > 0 && r.maxAge <= o.maxAge)
}

// rank orders policies from the most open to the strictest; all roles are equal.
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

// mayCover reports whether r covers the folded path plain.
func (r *Route) mayCover(plain string) bool {
	if r.Path != "" {
		return plain == r.plain
	}
	return within(plain, r.plain)
}

// judged returns the method to match routes with. HEAD is treated as GET (RFC 9110
// section 9.3.2). Methods are case-sensitive, but some servers ignore that, so a
// method with lower-case letters has no safe reading.
func judged(method string) (string, error) {
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

// fold normalizes a decoded path, so that paths that some server treats as equal have
// the same folded form. It removes case and Unicode compatibility forms, parameters
// (";x=1"), spaces around a segment and dots after it, empty segments (including the
// trailing slash), and whatever a server that decodes too early would take for a query
// or fragment.
//
// It fails if a segment consists of dots and spaces, which some servers read as "..".
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

// isFolded reports whether path is in folded form. It is on the path of every request,
// and optimized for lower-case letters.
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

// foldUnicode maps characters that some server treats as equal to one form: it removes
// compatibility forms (a full-width letter, the Kelvin sign, a full-width slash), case,
// accents and invisible characters.
func foldUnicode(s string) string {
	s = strings.ToLower(strings.ToUpper(norm.NFKD.String(s))) // ı and ſ become i and s only through their capitals
	s = strings.ReplaceAll(s, "ß", "ss")                      // as its capital is SS
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\\': // from a full-width one: http1 refuses it in ASCII
			return '/'
		case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
			return -1
		}
		return c
	}, s)
}
