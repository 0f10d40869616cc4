package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// project is a copy of the scripts for the cluster, with stubs for the tools that they call.
type project struct {
	root string
	env  []string
}

// newProject makes a project. docker and kind are the shell scripts that replace those tools.
func newProject(t *testing.T, docker, kind string) *project {
	t.Helper()
	p := &project{root: t.TempDir()}
	for _, name := range []string{"hack/up", "hack/e2e", "hack/down", "hack/lib/common.bash", "hack/airgap/versions.bash", "k8s/kind/cluster.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, name, string(text))
	}
	const tool = "#!/bin/sh\n"
	p.write(t, "tools/docker", tool+docker)
	p.write(t, "tools/curl", tool+"exit 1\n")
	// go_tool asks for the wanted version and for the installed one.
	p.write(t, "tools/go", tool+`case "$*" in *list*) echo v1 ;; *version*) echo "mod x v1" ;; *) echo "slow work: go $*"; exit 1 ;; esac`+"\n")
	for _, name := range []string{"helm", "kubectl"} {
		p.write(t, "bin/"+name, tool)
	}
	p.write(t, "bin/kubectl.image", "node")
	p.write(t, "bin/kind", tool+kind)
	p.write(t, "bin/test", tool+`echo "tests against $E2E_URL"`+"\n")
	for _, name := range []string{"engine", "dev-stores", "node-image"} {
		p.write(t, "hack/airgap/"+name, tool+"echo slow work: "+name+"\n")
	}
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "INGRESS_PORT", "E2E_URL", "KUBECTL", "KIND_NODE_IMAGE", "REGISTRY", "PATH":
		default:
			p.env = append(p.env, v)
		}
	}
	p.env = append(p.env, "PATH="+filepath.Join(p.root, "tools")+":"+os.Getenv("PATH"))
	return p
}

func (p *project) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// run runs a script and returns its output and whether it succeeded.
func (p *project) run(t *testing.T, script string, env ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.root, "hack", script))
	cmd.Env = slices.Concat(p.env, env)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// Stubs of docker: an engine without a cluster, no engine, and an engine with a cluster on a port.
const (
	noCluster = "exit 0\n"
	noEngine  = "echo 'no such socket' >&2; exit 1\n"
)

func clusterOn(port int, state string) string {
	return fmt.Sprintf(`case "$*" in ps*) echo %s ;; *PortBindings*) echo %d ;; *.Image*) echo node ;; esac`+"\n", state, port)
}

// takenPort returns a port that is in use.
func takenPort(t *testing.T, host string) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestUpReportsAPortInUseBeforeSlowSteps(t *testing.T) {
	taken, six := takenPort(t, "127.0.0.1"), takenPort(t, "::1")
	for name, c := range map[string]struct{ docker, port, want string }{
		"taken":                  {noCluster, strconv.Itoa(taken), fmt.Sprintf("port %d is in use: choose another one: make up INGRESS_PORT=", taken)},
		"taken by IPv6":          {noCluster, strconv.Itoa(six), fmt.Sprintf("port %d is in use", six)},
		"taken, without engine":  {noEngine, strconv.Itoa(taken), fmt.Sprintf("port %d is in use", taken)},
		"another than it has":    {clusterOn(8090, "running"), "8080", "the cluster uses port 8090: run make up INGRESS_PORT=8090"},
		"taken since it stopped": {clusterOn(taken, "exited"), "", fmt.Sprintf("port %d of the cluster is in use by another program", taken)},
	} {
		said, ok := newProject(t, c.docker, "").run(t, "up", "INGRESS_PORT="+c.port)
		if ok || !strings.Contains(said, c.want) {
			t.Errorf("%s: success %v, output %q, want failure with %q", name, ok, said, c.want)
		}
		if strings.Contains(said, "slow work") {
			t.Errorf("%s: output %q, want no slow step before the error", name, said)
		}
	}
}

func TestUpRejectsInvalidPorts(t *testing.T) {
	for _, port := range []string{"abc", "99999", "65536", "0", "-1", "080", "80 80", "8080x"} {
		for state, docker := range map[string]string{"no cluster": noCluster, "a cluster": clusterOn(8090, "running"), "no engine": noEngine} {
			want := "up: INGRESS_PORT=" + port + " is not a port (1 to 65535)\n"
			if said, ok := newProject(t, docker, "").run(t, "up", "INGRESS_PORT="+port); ok || said != want {
				t.Errorf("INGRESS_PORT=%s, %s: success %v, output %q, want failure with %q", port, state, ok, said, want)
			}
		}
	}
}

func TestUpKeepsThePortOfItsCluster(t *testing.T) {
	running := takenPort(t, "127.0.0.1") // by the cluster itself
	said, _ := newProject(t, clusterOn(running, "running"), "").run(t, "up")
	if !strings.Contains(said, "building the images") || strings.Contains(said, "in use") {
		t.Errorf("output %q, want it to get as far as building images", said)
	}
}

func TestErrorsOfKindAreShown(t *testing.T) {
	// Like kind: --quiet hides errors too.
	const kind = `case "$*" in *--quiet*) ;; *) echo "kind: no room for $2" >&2 ;; esac; exit 1` + "\n"
	for script, c := range map[string]struct{ docker, want string }{
		"up":   {noCluster, "kind: no room for cluster"},
		"down": {noCluster, "kind: no room for cluster"},
	} {
		said, ok := newProject(t, c.docker, kind).run(t, script, fmt.Sprintf("INGRESS_PORT=%d", freePort(t)))
		if ok || !strings.Contains(said, c.want) {
			t.Errorf("%s: success %v, output %q, want failure with %q", script, ok, said, c.want)
		}
	}
	said, ok := newProject(t, clusterOn(freePort(t), "exited"), kind).run(t, "up")
	if ok || !strings.Contains(said, "kind: no room for kubeconfig") {
		t.Errorf("stopped cluster: success %v, output %q, want failure with the error of kind", ok, said)
	}
	said, ok = newProject(t, noEngine, kind).run(t, "down")
	if ok || !strings.Contains(said, "no such socket") {
		t.Errorf("down without an engine: success %v, output %q, want failure with the error of docker", ok, said)
	}
}

func TestE2EUsesThePortOfTheCluster(t *testing.T) {
	for _, port := range []int{8080, 8093} {
		want := fmt.Sprintf("tests against http://frogs.localhost:%d\n", port)
		if said, ok := newProject(t, clusterOn(port, "running"), "").run(t, "e2e"); !ok || !strings.HasSuffix(said, want) {
			t.Errorf("success %v, output %q, want success with %q", ok, said, want)
		}
	}
	if said, ok := newProject(t, noEngine, "").run(t, "e2e", "E2E_URL=https://pond.example"); !ok || !strings.HasSuffix(said, "tests against https://pond.example\n") {
		t.Errorf("with E2E_URL: success %v, output %q, want success with that URL", ok, said)
	}
	for _, docker := range []string{noCluster, clusterOn(8080, "exited")} {
		if said, ok := newProject(t, docker, "").run(t, "e2e"); ok || !strings.Contains(said, "the cluster is not running: run make up") {
			t.Errorf("no cluster: success %v, output %q, want failure that names make up", ok, said)
		}
	}
}
