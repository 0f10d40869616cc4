package forward

import (
	"net/url"
	"strings"
	"testing"
	"unicode"

	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/http1"
)

// A reader finds the values of our cookie in a Cookie field as some server would.
type reader func(field string) []string

// trimming reads pairs between semicolons and trims names in some way before it compares them.
func trimming(separators string, name func(string) string, same func(a, b string) bool) reader {
	return func(field string) (values []string) {
		for _, pair := range strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
			if key, value, ok := strings.Cut(pair, "="); ok && same(name(key), cookie.Name) {
				values = append(values, strings.TrimSpace(value))
			}
		}
		return values
	}
}

var (
	exactly   = func(a, b string) bool { return a == b }
	asItIs    = func(key string) string { return strings.TrimPrefix(key, " ") }
	unspaced  = func(key string) string { return strings.Trim(key, " \t") }
	unquoted  = func(key string) string { return strings.Trim(key, " \t\"") }
	unicoded  = func(key string) string { return strings.TrimFunc(key, unicode.IsSpace) }
	unescaped = func(key string) string {
		if decoded, err := url.PathUnescape(key); err == nil {
			key = decoded
		}
		return unspaced(key)
	}
	mangled = func(key string) string {
		return strings.NewReplacer(".", "_", " ", "_", "[", "_").Replace(unspaced(key))
	}
)

// readers are those that cookie.MayBe names.
var readers = map[string]reader{
	"RFC 6265":         trimming(";", asItIs, exactly),
	"white space":      trimming(";", unspaced, exactly),
	"Unicode space":    trimming(";", unicoded, exactly),
	"any case":         trimming(";", unspaced, strings.EqualFold),
	"percent-encoding": trimming(";", unescaped, exactly),
	"PHP":              trimming(";", mangled, exactly),
	"RFC 2965":         trimming(";,", unquoted, exactly),
	"Python":           trimming("; \t", unspaced, exactly),
}

// FuzzCookies holds what appendCookies and cookie.Read promise. No server finds our cookie in what
// goes on, and the others are there in their order, byte for byte. Nobody finds another value of it
// in what came than Read does.
func FuzzCookies(f *testing.F) {
	const our = cookie.Name
	token := "v1.k1.AAAAAAAAAAAAAAAAAAAAAA.7." + strings.Repeat("A", 43)
	for _, value := range []string{
		"a=1; " + our + "=x; b=2", our, ";;", " a ; __host-http-LILYPAD =x;b", "", our + "=" + token, "a=b;\t" + our + "\t=" + token,
		"$Version=1; " + our + "=" + token, "$Version=1, " + our + "=x; " + our + "=" + token, "a=b " + our + "=x", "__%48ost-Http-lilypad=x",
		"a=\"x; " + our + "=" + token + "; y\"", "_[Host-Http-lilypad=x", "\u2003" + our + "\xa0=x", "a==" + our + "=x", "=" + our + "=x", our + "[a]=x",
		our + "=" + token + "; " + our + "\t=x", "_.Host-Http-lilypad=x;" + our + "=" + token, our + "=" + token + "; a=b, " + our + "=x",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.Trim(value, " \t") // as the parser of fields does
		if !(http1.Field{Name: "Cookie", Value: value}).Valid() {
			return
		}
		line := string(appendCookies([]byte("X: y\r\n"), "Cookie", value, []string{our}))
		sent, ok := strings.CutPrefix(line, "X: y\r\n")
		if !ok {
			t.Fatalf("%q: what stands before it becomes %q", value, line)
		}
		if sent != "" {
			field, _ := strings.CutPrefix(sent, "Cookie: ")
			if field, ok = strings.CutSuffix(field, "\r\n"); !ok {
				t.Fatalf("%q becomes %q", value, sent)
			}
			sent = field
		}
		for name, read := range readers {
			if found := read(sent); len(found) > 0 {
				t.Fatalf("%q becomes %q: a server that knows %s finds %q", value, sent, name, found)
			}
		}
		keepsTheRest(t, value, sent)

		h := http1.Header{{Name: "Cookie", Value: value}}
		mine, state := cookie.Read(h)
		if state != cookie.One {
			return
		}
		for name, read := range readers {
			for _, found := range read(value) {
				if found != mine && name != "any case" { // another case is another cookie
					t.Fatalf("of %q we read %q, a server that knows %s %q", value, mine, name, found)
				}
			}
		}
	})
}

// keepsTheRest holds that the pairs of sent are those of came, as they were, without some that have
// our name's letters.
func keepsTheRest(t *testing.T, came, sent string) {
	t.Helper()
	rest := strings.Split(sent, ";")
	if sent == "" {
		rest = nil
	}
	for i, pair := range strings.Split(came, ";") {
		switch {
		case len(rest) > 0 && (pair == rest[0] || i > 0 && strings.TrimLeft(pair, " \t") == rest[0]):
			rest = rest[1:]
		case pair == "" && sent == "":
		default:
			letters := unescaped(pair)
			for _, word := range []string{"host", "http", "lilypad"} {
				if !strings.Contains(strings.ToLower(letters), word) {
					t.Fatalf("%q becomes %q, without %q", came, sent, pair)
				}
			}
		}
	}
	if len(rest) > 0 {
		t.Fatalf("%q becomes %q, which has more", came, sent)
	}
}
