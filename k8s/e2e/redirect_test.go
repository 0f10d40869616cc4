package e2e

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func redirectScenarios() []scenario {
	return []scenario{{"HostileRedirects", hostileRedirects}}
}

// hostileNexts reads the corpus: one value per line, with Go escapes; "## " starts a comment.
func hostileNexts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/redirects.txt")
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "## ") {
			continue
		}
		value, err := strconv.Unquote(`"` + line + `"`)
		if err != nil {
			t.Errorf("corpus: %q: %v", line, err)
		}
		values = append(values, value)
	}
	return values
}

// stripped is what a browser removes from a URL before it parses it (WHATWG URL, basic URL parser):
// C0 controls and spaces at both ends, tabs and line breaks anywhere.
var stripped = regexp.MustCompile(`^[\x00-\x20]+|[\x00-\x20]+$|[\t\r\n]`)

// staysHere reports whether a browser resolves location to a path on the same origin.
func staysHere(location string) bool {
	read := strings.ReplaceAll(stripped.ReplaceAllString(location, ""), `\`, "/")
	return location == stripped.ReplaceAllString(location, "") && strings.HasPrefix(read, "/") && !strings.HasPrefix(read, "//")
}

// leavesByDots reports whether the path begins with two slashes after dot segments are removed, as
// a browser does. A second redirect to such a path would leave the origin.
var leavesByDots = regexp.MustCompile(`^/(?:[^/?#]*/)*(?:\.|%2[eE]){1,2}//`)

func TestCorpusOfHostileRedirects(t *testing.T) {
	values := hostileNexts(t)
	if len(values) < 200 {
		t.Errorf("%d values in the corpus, want at least 200", len(values))
	}
	hostile := 0
	for _, v := range values {
		if !staysHere(v) {
			hostile++
		}
	}
	if hostile < 200 {
		t.Errorf("%d values leave the origin, want at least 200", hostile)
	}
	for _, good := range []string{"/", "/frogs", "/account?x=//y", "/a//b", "/%2f/x"} {
		if !staysHere(good) || leavesByDots.MatchString(good) {
			t.Errorf("%q is classified as hostile", good)
		}
	}
	for _, bad := range []string{"", "frogs", "//x", `/\x`, "/\t/x", "\t/x", " /x", "https:/x", "/x\r\ny: z"} {
		if staysHere(bad) {
			t.Errorf("%q is classified as harmless", bad)
		}
	}
}

func hostileRedirects(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	for _, next := range hostileNexts(t) {
		form := who.form()
		form.Del("name")
		form.Set("next", next)
		a := w.visitor(t).submit(t, "/auth/login", form)
		a.wantRedirect(t)
		location := a.header.Get("Location")
		if !staysHere(location) || leavesByDots.MatchString(location) {
			t.Errorf("next %q: Location %q, want a path on the same origin", next, location)
		}
		if len(a.cookies) != 1 {
			t.Errorf("next %q: no cookie is set, Location %q", next, location)
		}
	}
}
