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

// hostileNexts reads the corpus: a value a line with Go's escapes, "## " starts a comment.
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

// stripped is what a browser leaves out of an address before it looks at it
// (WHATWG URL, "basic URL parser": C0 controls and blanks around it, tabs and
// line ends anywhere in it).
var stripped = regexp.MustCompile(`^[\x00-\x20]+|[\x00-\x20]+$|[\t\r\n]`)

// staysHere says whether a browser takes location for a path on the origin it came from.
func staysHere(location string) bool {
	read := strings.ReplaceAll(stripped.ReplaceAllString(location, ""), `\`, "/")
	return location == stripped.ReplaceAllString(location, "") && strings.HasPrefix(read, "/") && !strings.HasPrefix(read, "//")
}

// leavesByDots says whether removing dot segments, as a browser does, makes the
// path start with two slashes: harmless there, but not behind the next redirect.
var leavesByDots = regexp.MustCompile(`^/(?:[^/?#]*/)*(?:\.|%2[eE]){1,2}//`)

func TestTheCorpusAndItsJudge(t *testing.T) {
	values := hostileNexts(t)
	if len(values) < 200 {
		t.Errorf("%d lines in the corpus", len(values))
	}
	hostile := 0
	for _, v := range values {
		if !staysHere(v) {
			hostile++
		}
	}
	if hostile < 200 {
		t.Errorf("only %d of the corpus would leave the origin", hostile)
	}
	for _, good := range []string{"/", "/frogs", "/account?x=//y", "/a//b", "/%2f/x"} {
		if !staysHere(good) || leavesByDots.MatchString(good) {
			t.Errorf("%q is taken for hostile", good)
		}
	}
	for _, bad := range []string{"", "frogs", "//x", `/\x`, "/\t/x", "\t/x", " /x", "https:/x", "/x\r\ny: z"} {
		if staysHere(bad) {
			t.Errorf("%q is taken for a path here", bad)
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
			t.Errorf("next %q: Location %q", next, location)
		}
		if len(a.cookies) != 1 {
			t.Errorf("next %q: not signed in, Location %q", next, location)
		}
	}
}
