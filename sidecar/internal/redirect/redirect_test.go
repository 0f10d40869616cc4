package redirect_test

import (
	"net/url"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/redirect"
)

func TestOnlyPathsOfOurOrigin(t *testing.T) {
	for _, good := range []string{"/", "/account", "/frogs?page=2&sort=name", "/a/b/c#d", "/caf%C3%A9", "/?next=%2Faccount", "/a%20b", "/go?to=https://other.test//x", redirect.KeptForm} {
		if redirect.Safe(good) != good {
			t.Errorf("%q was refused", good)
		}
	}
	for _, bad := range []string{
		"", "account", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "/\t/evil.test", "/\n/evil.test", "\t//evil.test",
		" /account", "/ /evil.test", "http://evil.test", "https:evil.test", "javascript:alert(1)", "data:text/html,x", "//evil.test%2f..",
		"/%2f%2fevil.test", "/%2Fevil.test", "/%5cevil.test", "/%09/evil.test", "/%0d%0aSet-Cookie:x=y", "/.//evil.test", "/..//evil.test",
		"/a/..//evil.test", "/a//b", "/a/../../evil", "/a/..", "/%2e%2e/x", "@evil.test", "/\x00", "/\x7f", "/%00", "?next=x", "#x",
		"/auth/logout", "/auth", "/auth/form/", "/auth/form?x", "/auth/form/discard", "/auth/%66orm", "/%61uth/logout", "/%2e/x", "/a/%2E%2e", "/" + strings.Repeat("a", 2000), "/%zz",
	} {
		if got := redirect.Safe(bad); got != "" {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("/account?x=y")
	f.Add("//evil.test")
	f.Add("/\\evil.test")
	base, _ := url.Parse("https://frogs.test/login")
	f.Fuzz(func(t *testing.T, next string) {
		safe := redirect.Safe(next)
		if safe == "" {
			return
		}
		u, err := base.Parse(safe)
		if err != nil || u.Scheme != "https" || u.Host != "frogs.test" || u.User != nil {
			t.Fatalf("%q leads to %v, %v", safe, u, err)
		}
	})
}

func TestToPage(t *testing.T) {
	for target, want := range map[string]string{
		"/": "/login", "/account": "/login?next=%2Faccount", "/a?b=c&d": "/login?next=%2Fa%3Fb%3Dc%26d", "//evil.test": "/login",
	} {
		if got := redirect.ToPage("/login", target, ""); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
	if got, want := redirect.ToPage("/login", "/a", "forbidden"), "/login?error=forbidden&next=%2Fa"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
