package e2e

import (
	"cmp"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestCluster runs the scenarios through the ingress of a cluster at E2E_URL. E2E_CONTEXT is its
// context in KUBECONFIG, through which the test reads the lifetime of access tokens, and restarts
// and stops pods.
func TestCluster(t *testing.T) {
	w := &World{BaseURL: os.Getenv("E2E_URL"), Screenshots: os.Getenv("E2E_SCREENSHOTS"), RingInSecret: true}
	if w.BaseURL == "" {
		t.Fatal("E2E_URL is not set: run `make e2e`, which sets it")
	}
	var err error
	if w.AccessTTL, err = time.ParseDuration(kubectl(t, "--namespace=lilypad", "get", "deployment/lilypad-auth",
		`--output=jsonpath={.spec.template.spec.containers[0].env[?(@.name=="LILYPAD_ACCESS_TTL")].value}`)); err != nil {
		t.Fatalf("read the lifetime of access tokens: %v", err)
	}
	w.RestartAuth = func(t *testing.T) {
		t.Helper()
		kubectl(t, "--namespace=lilypad", "rollout", "restart", "deployment/lilypad-auth")
		kubectl(t, "--namespace=lilypad", "rollout", "status", "deployment/lilypad-auth", "--timeout=180s")
	}
	w.WithoutPostgres = func(t *testing.T, do func()) {
		t.Helper()
		kubectl(t, "--namespace=stores", "scale", "statefulset/postgres", "--replicas=0")
		defer func() { // also if the scenario fails
			kubectl(t, "--namespace=stores", "scale", "statefulset/postgres", "--replicas=1")
			kubectl(t, "--namespace=stores", "rollout", "status", "statefulset/postgres", "--timeout=180s")
		}()
		kubectl(t, "--namespace=stores", "wait", "--for=delete", "pod/postgres-0", "--timeout=120s")
		do()
	}
	// The ingress sees the gateway of the cluster as the address of all clients.
	w.ForgetLimits = func(t *testing.T) {
		t.Helper()
		const forget = `for _, key in ipairs(redis.call("KEYS", "rate:*")) do redis.call("DEL", key) end`
		kubectl(t, "--namespace=stores", "exec", "statefulset/redis", "--", "sh", "-c",
			`read -r _ REDISCLI_AUTH </run/secrets/redis/auth.conf; export REDISCLI_AUTH; exec redis-cli -e EVAL "$0" 0`, forget)
	}
	play(t, w)
}

// kubectl returns the output of a command.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"--context", cmp.Or(os.Getenv("E2E_CONTEXT"), "kind-lilypad")}, args...)
	cmd := exec.CommandContext(t.Context(), cmp.Or(os.Getenv("KUBECTL"), "kubectl"), args...)
	var out, faults strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out.String(), faults.String())
	}
	return out.String()
}
