package forward

import (
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/http1"
)

// FuzzCookies holds what appendCookies promises: ours are gone, the others are there in their order, byte for byte.
func FuzzCookies(f *testing.F) {
	const our = "__Host-Http-lilypad"
	for _, value := range []string{"a=1; __Host-Http-lilypad=x; b=2", "__Host-Http-lilypad", ";;", " a ; __host-http-LILYPAD =x;b", ""} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		line := string(appendCookies([]byte("X: y\r\n"), "Cookie", value, []string{our}))
		rest, ok := strings.CutPrefix(line, "X: y\r\n")
		if !ok {
			t.Fatalf("%q: %q", value, line)
		}
		var want []string
		pairs := strings.Split(value, ";")
		for _, pair := range pairs {
			if name, _, _ := strings.Cut(pair, "="); !http1.SameName(strings.Trim(name, " \t"), our) {
				want = append(want, pair)
			}
		}
		if len(want) == 0 {
			if rest != "" {
				t.Fatalf("%q: %q", value, rest)
			}
			return
		}
		if len(want) < len(pairs) && !slices.Equal(want[:1], pairs[:1]) {
			want[0] = strings.TrimLeft(want[0], " \t")
		}
		if rest != "Cookie: "+strings.Join(want, ";")+"\r\n" {
			t.Fatalf("%q: %q", value, rest)
		}
	})
}
