package main

import (
	"bytes"
	"strings"
	"testing"

	"lilypad.example/services/pkg/config"
)

func TestSettingsOfProxiesAndHeadersAreFlagsAndVariables(t *testing.T) {
	var stdout, stderr bytes.Buffer
	config.Run(t.Context(), new(cli), config.Program{
		Name: "sidecar", Args: []string{"serve", "--drop-headers=X-Tenant,By_Flag*", "--trusted-proxies=10.0.0.1,by-flag", "--trusted-hops=-2"},
		Environ: []string{"LILYPAD_AUTH_URL=http://auth:8080"}, Stdout: &stdout, Stderr: &stderr,
	})
	config.Run(t.Context(), new(cli), config.Program{
		Name: "sidecar", Args: []string{"serve"}, Stdout: &stdout, Stderr: &stderr, Environ: []string{
			"LILYPAD_DROP_HEADERS=Acme-*,By_Variable", "LILYPAD_TRUSTED_PROXIES=::1,by-variable", "LILYPAD_TRUSTED_HOPS=-3",
		},
	})
	for _, want := range []string{"By_Flag*", "by-flag", "-2 is below", "By_Variable", "by-variable", "-3 is below"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the errors do not mention %s:\n%s", want, stderr.String())
		}
	}
	for _, good := range []string{"X-Tenant", "Acme", "10.0.0.1", "::1"} {
		if strings.Contains(stderr.String(), `"`+good) {
			t.Errorf("the errors mention the valid %s:\n%s", good, stderr.String())
		}
	}
}
