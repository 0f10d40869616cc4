package e2e

import (
	"cmp"
	"os"
	"os/exec"
	"testing"
)

// TestCluster plays the scenarios on the cluster of `make up`, through its
// ingress. E2E_URL says where that is; E2E_CONTEXT names the cluster in KUBECONFIG,
// for the scenarios that restart something in it.
func TestCluster(t *testing.T) {
	w := &World{BaseURL: cmp.Or(os.Getenv("E2E_URL"), "http://frogs.localhost:8080"), Screenshots: os.Getenv("E2E_SCREENSHOTS")}
	w.RestartAuth = func(t *testing.T) {
		t.Helper()
		kubectl(t, "--namespace=lilypad", "rollout", "restart", "deployment/lilypad-auth")
		kubectl(t, "--namespace=lilypad", "rollout", "status", "deployment/lilypad-auth", "--timeout=180s")
	}
	// The ingress sees the cluster's own gateway as everybody's address.
	w.ForgetLimits = func(t *testing.T) {
		t.Helper()
		const forget = `for _, key in ipairs(redis.call("KEYS", "rate:*")) do redis.call("DEL", key) end`
		kubectl(t, "--namespace=stores", "exec", "statefulset/redis", "--", "sh", "-c",
			`read -r _ REDISCLI_AUTH </run/secrets/redis/auth.conf; export REDISCLI_AUTH; exec redis-cli -e EVAL "$0" 0`, forget)
	}
	play(t, w)
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"--context", cmp.Or(os.Getenv("E2E_CONTEXT"), "kind-lilypad")}, args...)
	cmd := exec.CommandContext(t.Context(), cmp.Or(os.Getenv("KUBECTL"), "kubectl"), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}
