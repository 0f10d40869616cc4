package forward

import (
	"strings"
	"testing"
)

func TestASettingAddsToTheFieldsThatAreDropped(t *testing.T) {
	for name, c := range map[string]struct {
		more        []string
		gone, stays []string
	}{
		"nothing":           {nil, nil, []string{"X-Tenant", "X-Tenant-Id", "Accept"}},
		"a name":            {[]string{"X-Tenant"}, []string{"X-Tenant", "x-tenant"}, []string{"X-Tenant-Id", "X-Tenan"}},
		"names":             {[]string{"x-tenant", "Acme"}, []string{"X-TENANT", "ACME"}, []string{"X-Acme"}},
		"a beginning":       {[]string{"Acme-*"}, []string{"Acme-User", "ACME-", "acme-x-y"}, []string{"Acme", "Acmes", "X-Acme-User"}},
		"a piece of a name": {[]string{"X-Ten*"}, []string{"X-Tenant", "X-Ten"}, []string{"X-Te", "X-Tea"}},
		"one of ours again": {[]string{"X-Auth-Foo*", "X-User"}, []string{"X-Auth-Bar", "X-User", "X-Username"}, nil},
		"more than ours":    {[]string{"X-*"}, []string{"X-Anything", "X-Requested-With", "X-Auth-User"}, []string{"Accept"}},
		"Cookie":            {[]string{"Cookie"}, []string{"Cookie"}, nil},
	} {
		for _, pattern := range c.more {
			if err := CheckDropField(pattern); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		r := newRules(c.more)
		for _, field := range c.gone {
			if r.fate(field) != drop {
				t.Errorf("%s: %s passes", name, field)
			}
		}
		for _, field := range c.stays {
			if r.fate(field) != pass {
				t.Errorf("%s: %s does not pass", name, field)
			}
		}
	}
	for _, pattern := range []string{"", "*", "X-*-User", "X User", "X_User", "X-User:", "Größe", "**"} {
		if err := CheckDropField(pattern); err == nil {
			t.Errorf("%q is accepted", pattern)
		}
	}
}

// TestEachBeginningIsFound: a binary search finds what looking at each would.
func TestEachBeginningIsFound(t *testing.T) {
	r := newRules(nil)
	for _, pattern := range dropped() {
		prefix, ok := strings.CutSuffix(pattern, "*")
		if err := CheckDropField(pattern); err != nil {
			t.Error(err)
		}
		for _, rest := range []string{"", "-", "0", "a", "User", "zzz"} {
			if ok && r.fate(prefix+rest) != drop {
				t.Errorf("%s passes", prefix+rest)
			}
		}
	}
}

// BenchmarkFate decides about the fields of one request of a browser, and about as many that an
// attacker chose.
func BenchmarkFate(b *testing.B) {
	r := newRules(nil)
	for name, fields := range map[string]string{
		"browser": "Host Connection sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform Upgrade-Insecure-Requests User-Agent Accept " +
			"Sec-Fetch-Site Sec-Fetch-Mode Sec-Fetch-User Sec-Fetch-Dest Referer Accept-Encoding Accept-Language Cookie",
		"hostile": strings.Repeat("X-Zzz X-Middle-Of-The-List X-Abc X-Real-Estate ", 4),
	} {
		b.Run(name, func(b *testing.B) {
			names := strings.Fields(fields)
			b.ReportAllocs()
			for b.Loop() {
				for _, name := range names {
					r.fate(name)
				}
			}
		})
	}
}
