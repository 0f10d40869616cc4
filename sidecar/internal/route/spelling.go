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

// A Reading is one way in which a server may read a request, and the route for it.
type Reading struct {
	Path  string
	Route *Route
}

var (
	errMethod = errors.New("some servers ignore the case of a method, so it must be in capitals")
	errDots   = errors.New("some servers drop a segment of dots and spaces alone, or read it as \"..\"")
)

// Readings returns how servers may read a request: as it is written first, then
// in every other way that a route is for. They are empty if no route is for the
// request as it is written. It fails where no reading is safe.
//
// A route that covers a path as it is written covers it in every reading. So
// wider routes have no say, and what is asked of the others is whether they
// cover the path once spelling is forgotten.
func (t *Table) Readings(method, path string) ([]Reading, error) {
	return t.appendReadings(nil, method, path)
}

// appendReadings is Readings into memory of the caller's.
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
		// Both are for the path as it is written, and the literal one is more
		// specific. It stays so in every reading, unless the path is r's own and the
		// two spell it differently (/a and /a/).
		if r.covers(path) && (len(r.plain) < len(plain) || r.where() == literal.where()) {
			continue
		}
		// Of two routes for one place, the one for certain methods came before.
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

// asStrictAs reports whether everybody whom r lets pass passes o, too, and
// whether r asks as much about who they are.
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

// mayCover reports whether r covers a folded path, spelling forgotten.
func (r *Route) mayCover(plain string) bool {
	if r.Path != "" {
		return plain == r.plain
	}
	return within(plain, r.plain)
}

// judged returns the method that routes are asked for. A server answers HEAD as
// it answers GET (RFC 9110 section 9.3.2). Methods are case-sensitive, but not
// at every server, so one with small letters has no safe reading.
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

// fold returns what is left of a decoded path when everything is forgotten that
// some server takes for spelling: the case of letters and the forms that Unicode
// has for them, parameters (";x=1"), spaces around and dots behind a segment,
// empty segments and with them the slash at the end, and what a server that
// decodes too early would take for a query or fragment.
//
// It fails if a segment consists of dots and spaces, which some servers read as
// "..". A path that is folded already is returned as it is.
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

// isFolded reports whether fold would change nothing. It sees the path of every
// request, and most of that is small letters.
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

// foldUnicode gives characters that are equal to some server one form: without
// what distinguishes compatibility forms (a full-width letter, the Kelvin sign, a
// full-width slash), case, accents, and without characters that cannot be seen.
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
