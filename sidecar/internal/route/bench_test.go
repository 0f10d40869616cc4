package route_test

import (
	"fmt"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/route"
)

// BenchmarkMatch measures Match for paths spelled as in the policy and for paths that must be
// folded.
func BenchmarkMatch(b *testing.B) {
	var many strings.Builder
	for i := range 200 {
		_, _ = fmt.Fprintf(&many, "  - {prefix: /team-%d/files, upstream: app, policy: session}\n", i)
	}
	for _, file := range []struct{ name, text string }{{"7routes", policy}, {"207routes", policy + many.String()}} {
		table, err := route.Parse([]byte(file.text))
		if err != nil {
			b.Fatal(err)
		}
		for _, path := range []string{"/", "/login", "/api/frogs/42/photos", "/static/assets/index.3f9c2a.js", "/static/assets/Index-BxYz.js", "/ADMIN;x/users/"} {
			b.Run(file.name+path, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if table.Match("GET", path) == nil {
						b.Fatal("no route, want one")
					}
				}
			})
		}
	}
}
