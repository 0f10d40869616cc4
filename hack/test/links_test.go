package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// Links in the documentation lead to files, and to headings, that exist.
func TestLinksLeadSomewhere(t *testing.T) {
	const root = "../.."
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	fences, code := regexp.MustCompile("(?ms)^```.*?\n```$"), regexp.MustCompile("`[^`\n]*`")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	seen := 0
	for page := range strings.FieldsSeq(string(out)) {
		if page == "hack/bench/page.md" {
			continue // it becomes docs/benchmarks.md
		}
		text, err := os.ReadFile(filepath.Join(root, page))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		prose := code.ReplaceAllString(fences.ReplaceAllString(string(text), ""), "")
		for _, found := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			seen++
			target, heading, _ := strings.Cut(found[1], "#")
			path := filepath.Join(root, page)
			if target != "" {
				path = filepath.Join(root, filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: there is no such file", page, found[1])
				continue
			}
			if heading != "" && !headings(t, path)[heading] {
				t.Errorf("%s links to %s: there is no such heading", page, found[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("found %d links, want more: does the test still read them?", seen)
	}
}

// headings returns the anchors that GitHub gives to the headings of a page.
func headings(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, found[1])] = true
	}
	return all
}
