// Package charts tests what the Helm charts render, without a cluster. `make test-charts` runs it.
//
// A case renders a chart with bin/helm, as a user does, and decodes the result strictly into the
// types of client-go: an unknown or repeated field is an error. What needs an API server
// (admission, keys that outlive an upgrade, Secrets that lack a key) is tested by k8s/e2e.
package charts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

const root = "../.."

// helm runs bin/helm in the project's top folder and returns what it writes.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(root, "bin", "helm"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = root
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, faults.String())
	}
	return out.String(), nil
}

// template renders the chart in a folder. The arguments are those of `helm template`.
func template(t *testing.T, folder string, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", "release", folder, "--namespace", "test"}, args...)...)
}

// objects are what a chart renders.
type objects []runtime.Object

// render renders a chart that must render.
func render(t *testing.T, folder string, args ...string) objects {
	t.Helper()
	text, err := template(t, folder, args...)
	if err != nil {
		t.Fatalf("does not render: %v", err)
	}
	return decode(t, text)
}

func decode(t *testing.T, text string) objects {
	t.Helper()
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var all objects
	for documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		switch {
		case runtime.IsMissingKind(err) && blank(document):
			continue
		case runtime.IsNotRegisteredError(err) && kind.Group == "gateway.networking.k8s.io":
			object, _, err = decoder.Decode(document, nil, &unstructured.Unstructured{}) // its types are not client-go's
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		all = append(all, object)
	}
}

// blank says whether a document holds comments alone.
func blank(document []byte) bool {
	for line := range strings.Lines(string(document)) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// of returns the objects of a type.
func of[T runtime.Object](all objects) []T {
	var found []T
	for _, object := range all {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

// pods returns the pod templates.
func (all objects) pods() []corev1.PodTemplateSpec {
	var found []corev1.PodTemplateSpec
	for _, d := range of[*appsv1.Deployment](all) {
		found = append(found, d.Spec.Template)
	}
	for _, s := range of[*appsv1.StatefulSet](all) {
		found = append(found, s.Spec.Template)
	}
	return found
}

// containers returns those of all pods, native sidecars included.
func (all objects) containers() []corev1.Container {
	var found []corev1.Container
	for _, pod := range all.pods() {
		found = append(append(found, pod.Spec.InitContainers...), pod.Spec.Containers...)
	}
	return found
}

// env returns the values that containers have for an environment variable.
func (all objects) env(name string) []string {
	var found []string
	for _, c := range all.containers() {
		for _, v := range c.Env {
			if v.Name == name {
				found = append(found, v.Value)
			}
		}
	}
	return found
}

// images returns those of all containers.
func (all objects) images() []string {
	var found []string
	for _, c := range all.containers() {
		found = append(found, c.Image)
	}
	return found
}

// ingressPorts returns the ports that NetworkPolicies let requests through to, as PORT/PROTOCOL.
func (all objects) ingressPorts() []string {
	var found []string
	for _, p := range of[*networkingv1.NetworkPolicy](all) {
		for _, rule := range p.Spec.Ingress {
			found = append(found, ports(rule.Ports)...)
		}
	}
	return found
}

// egressPorts returns the ports that NetworkPolicies let pods call, as PORT/PROTOCOL.
func (all objects) egressPorts() []string {
	var found []string
	for _, p := range of[*networkingv1.NetworkPolicy](all) {
		for _, rule := range p.Spec.Egress {
			found = append(found, ports(rule.Ports)...)
		}
	}
	return found
}

func ports(list []networkingv1.NetworkPolicyPort) []string {
	var found []string
	for _, p := range list {
		found = append(found, fmt.Sprintf("%s/%s", p.Port, *p.Protocol))
	}
	return found
}

// httpRoutes returns name and port of each backend of the HTTPRoutes.
func (all objects) httpRoutes() []string {
	var found []string
	for _, route := range of[*unstructured.Unstructured](all) {
		rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
		for _, rule := range rules {
			rule, _ := rule.(map[string]any)
			backends, _, _ := unstructured.NestedSlice(rule, "backendRefs")
			for _, backend := range backends {
				backend, _ := backend.(map[string]any)
				found = append(found, fmt.Sprint(backend["name"], ":", backend["port"]))
			}
		}
	}
	return found
}
