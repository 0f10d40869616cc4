package route_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/route"
)

// The examples in the documentation are policies that the sidecar accepts.
func TestThePoliciesInTheDocumentationAreValid(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/guides/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	block := regexp.MustCompile("(?ms)^```yaml$\n(.*?)\n```$")
	upstream := regexp.MustCompile(`(?m)^  (\w+):`)
	checked := 0
	for _, page := range append(pages, "../../../docs/policy.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range block.FindAllStringSubmatch(string(text), -1) {
			policy := "\n" + found[1]
			routes, upstreams := strings.Contains(policy, "\nroutes:"), strings.Contains(policy, "\nupstreams:")
			switch {
			case routes && upstreams:
			case upstreams: // add a route to each of them
				policy += "\nroutes:\n"
				for _, name := range upstream.FindAllStringSubmatch(found[1], -1) {
					policy += "  - {prefix: /" + name[1] + ", upstream: " + name[1] + ", policy: session}\n"
				}
			case strings.HasPrefix(policy, "\n  - {") && strings.Contains(policy, "upstream: app"): // routes alone
				policy = "upstreams: {app: http://127.0.0.1:8081}\nroutes:" + policy
			default:
				continue
			}
			checked++
			if _, err := route.Parse([]byte(policy)); err != nil {
				t.Errorf("%s: %v, in\n%s", filepath.Base(page), err, policy)
			}
		}
	}
	if checked < 5 {
		t.Errorf("found %d examples, want more: has their form changed?", checked)
	}
}
