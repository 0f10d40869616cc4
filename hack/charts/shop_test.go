package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// shopValues are what charts/lilypad-sidecar/README.md has a user add to values.yaml.
const shopValues = `
livenessProbe:
  exec: {command: [wget, -q, -O, /dev/null, http://127.0.0.1:3000/]}
  timeoutSeconds: 5
readinessProbe:
  exec: {command: [wget, -q, -O, /dev/null, http://127.0.0.1:3000/]}
  timeoutSeconds: 5
sidecar:
  app: shop
  authURL: http://lilypad-auth.lilypad.svc:8080
  routes:
    upstreams:
      app: http://127.0.0.1:3000
    routes:
      - {prefix: /assets, upstream: app, policy: public}
      - {prefix: /account, upstream: app, policy: session}
      - {prefix: /, upstream: app, policy: optional}
`

// A shop is the chart of an app, in a folder.
type shop struct {
	t   *testing.T
	dir string
}

// newShop makes a chart as `helm create` does, and adds the sidecar as
// charts/lilypad-sidecar/README.md says.
func newShop(t *testing.T) shop {
	t.Helper()
	s := shop{t, filepath.Join(t.TempDir(), "shop")}
	library, err := filepath.Abs(filepath.Join(root, "charts", "lilypad-sidecar"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := helm(t, "create", s.dir); err != nil {
		t.Fatal(err)
	}
	s.add("Chart.yaml", "dependencies:\n  - {name: lilypad-sidecar, alias: sidecar, version: \"*\", repository: \"file://"+library+"\"}\n")
	s.replace("values.yaml", `(?m)^(liveness|readiness)Probe:\n(  .*\n)*`, "")
	s.add("values.yaml", shopValues)
	s.add("templates/sidecar.yaml", "{{ include \"lilypad-sidecar.resources\" . }}\n")

	const deployment = "templates/deployment.yaml"
	s.replace(deployment, `(?s)(template:.*?)include "shop.labels"`, `${1}include "lilypad-sidecar.podLabels"`)
	s.replace(deployment, `include "shop.selectorLabels"`, `include "lilypad-sidecar.selectorLabels"`)
	s.replace(deployment, `(?m)^ *serviceAccountName:.*$`, `      serviceAccountName: {{ include "lilypad-sidecar.name" . }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 50
      initContainers:
        {{- include "lilypad-sidecar.container" . | nindent 8 }}`)
	s.replace(deployment, `(?s) *{{- with .Values.volumes }}.*?{{- end }}\n`, `      volumes:
        {{- include "lilypad-sidecar.volumes" . | nindent 8 }}
        {{- with .Values.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
`)
	s.replace(deployment, `(?s)          ports:.*?protocol: TCP\n`, "          lifecycle:\n            preStop: {sleep: {seconds: 10}}\n")
	s.replace("templates/ingress.yaml", `name: {{ include "shop.fullname" [$] }}`, `name: {{ include "lilypad-sidecar.name" $$ }}`)
	s.replace("templates/ingress.yaml", `number: {{ [$].Values.service.port }}`, "number: 8080")
	s.replace("templates/httproute.yaml", `{{- \$fullName := .*`, `{{- $$fullName := include "lilypad-sidecar.name" . -}}`)
	s.replace("templates/httproute.yaml", `{{- \$svcPort := .*`, `{{- $$svcPort := 8080 -}}`)
	for _, name := range []string{"service.yaml", "serviceaccount.yaml", "NOTES.txt", "tests"} {
		if err := os.RemoveAll(filepath.Join(s.dir, "templates", name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := helm(t, "dependency", "update", s.dir); err != nil {
		t.Fatal(err)
	}
	return s
}

// changed returns a copy of the chart to which change was done.
func (s shop) changed(t *testing.T, change func(shop)) shop {
	t.Helper()
	c := shop{t, filepath.Join(t.TempDir(), "shop")}
	if err := os.CopyFS(c.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(c)
	}
	return c
}

// replace replaces what a regular expression finds in a file, which must be there.
func (s shop) replace(file, find, by string) {
	s.t.Helper()
	path := filepath.Join(s.dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	expression := regexp.MustCompile(find)
	if !expression.Match(text) {
		s.t.Fatalf("%s lacks %s", file, find)
	}
	if err := os.WriteFile(path, expression.ReplaceAll(text, []byte(by)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// add appends text to a file, and makes it if need be.
func (s shop) add(file, text string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// deployment replaces in the template of the Deployment.
func (s shop) deployment(find, by string) {
	s.t.Helper()
	s.replace("templates/deployment.yaml", find, by)
}

// container adds a line to the app's container.
func (s shop) container(line string) {
	s.t.Helper()
	s.deployment(`(?m)^( *)imagePullPolicy:.*$`, "$0\n${1}"+line)
}

// pod adds a line to the pod.
func (s shop) pod(line string) {
	s.t.Helper()
	s.deployment(`(?m)^( *)automountServiceAccountToken:.*$`, "$0\n${1}"+line)
}

// service adds a Service.
func (s shop) service(name, spec string) {
	s.t.Helper()
	s.add("templates/service.yaml", service(name, spec))
}

func service(name, spec string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

// policy adds a NetworkPolicy of all pods.
func (s shop) policy(name, ingress string) {
	s.t.Helper()
	s.add("templates/networkpolicy.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: "+name+"}\n"+
		"spec: {podSelector: {}, ingress: "+ingress+"}\n")
}

// theApp selects the app's pods.
const theApp = "selector: {app.kubernetes.io/name: shop, app.kubernetes.io/instance: release}"

// shopCase is a change of the chart and what follows: either a fault, which the sidecar's library
// reports, or nothing.
type shopCase struct {
	name   string
	change func(shop)
	args   string
	fault  string // the message contains it
}

// shopChart: whatever a user does to a chart, nothing in it leads round the sidecar, or it does not
// render.
func shopChart(t *testing.T) {
	t.Parallel()
	base := newShop(t)
	for _, c := range kept() {
		t.Run("kept/"+c.name, func(t *testing.T) {
			t.Parallel()
			onlyTheSidecar(t, base.changed(t, c.change).render(t, c.args))
		})
	}
	for _, c := range faults() {
		t.Run("fault/"+c.name, func(t *testing.T) {
			t.Parallel()
			_, err := template(t, base.changed(t, c.change).dir, strings.Fields(c.args)...)
			if err == nil {
				t.Fatalf("rendered, want a refusal that says %q", c.fault)
			}
			for _, text := range []string{"this chart does not keep requests to the sidecar", c.fault} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the message lacks %q: %v", text, err)
				}
			}
		})
	}
	t.Run("as a release of the chart's name", func(t *testing.T) {
		t.Parallel()
		text, err := helm(t, "template", "shop", base.dir, "--namespace", "test")
		if err != nil {
			t.Fatal(err)
		}
		onlyTheSidecar(t, decode(t, text))
	})
	t.Run("objects", func(t *testing.T) { t.Parallel(); shopObjects(t, base) })
}

func (s shop) render(t *testing.T, args string) objects {
	t.Helper()
	return render(t, s.dir, strings.Fields(args)...)
}

// onlyTheSidecar checks that the sidecar's port is the only one that Services and NetworkPolicies
// lead to.
func onlyTheSidecar(t *testing.T, all objects) {
	services := of[*corev1.Service](all)
	check(t, "Services", len(services), 1)
	var targets []string
	for _, s := range services {
		for _, p := range s.Spec.Ports {
			targets = append(targets, fmt.Sprint(p.Port, ":", p.TargetPort.String()))
		}
	}
	check(t, "where they lead", targets, []string{"8080:lilypad-http"})
	var named []string
	for _, c := range all.containers() {
		for _, p := range c.Ports {
			if p.Name == "lilypad-http" {
				named = append(named, fmt.Sprint(c.Name, ":", p.ContainerPort))
			}
		}
	}
	check(t, "who has that port", named, []string{"sidecar:8080"})
	check(t, "what NetworkPolicies allow", all.ingressPorts(), []string{"8080/TCP"})
}

// kept are charts in which nothing leads round the sidecar.
func kept() []shopCase {
	return []shopCase{
		{name: "as the README says"},
		{name: "a StatefulSet", change: func(s shop) { s.deployment("kind: Deployment", "kind: StatefulSet") }},
		{name: "an Ingress", args: "--set ingress.enabled=true"},
		{name: "a port named http", change: func(s shop) { s.container("ports: [{name: http, containerPort: 9000}]") }},
		{name: "a port named sidecar", change: func(s shop) { s.container("ports: [{name: sidecar, containerPort: 9000}]") }},
		{name: "another upstream", args: "--set sidecar.routes.upstreams.app=http://localhost"},
		{name: "upstreams elsewhere", args: "--set sidecar.routes.upstreams.api=https://api.test,sidecar.routes.upstreams.socket=unix:/run/app.sock,sidecar.routes.upstreams.many.urls={http://a:8080,https://b},sidecar.routes.upstreams.many.ca=/etc/ca.pem"},
		{
			name: "fields of an upstream and a route", args: "--set sidecar.routes.upstreams.api.url=https://api.test,sidecar.routes.upstreams.api.headers.X-User=email,sidecar.routes.upstreams.api.token=none",
			change: func(s shop) {
				s.replace("values.yaml", `prefix: /account,`, "prefix: /account, strip: true, authorization: pass, origins: [https://pay.example],")
			},
		},
		{name: "a mounted socket", args: "--set sidecar.extraVolumeMounts[0].name=run,sidecar.extraVolumeMounts[0].mountPath=/run/app"},
	}
}

// faults are charts in which something leads round the sidecar.
func faults() []shopCase {
	appPort := func(port string) func(shop) {
		return func(s shop) { s.container("ports: [{name: http, containerPort: " + port + "}]") }
	}
	aService := func(spec string) func(shop) { return func(s shop) { s.service("web", spec) } }
	aPolicy := func(ingress string) func(shop) { return func(s shop) { s.policy("open", ingress) } }
	const (
		leads       = "Service web: leads to port 3000 of the app's pods"
		policyLeads = "NetworkPolicy open: leads to port 3000 of the app's pods"
	)
	return []shopCase{
		{name: "port of the app", fault: "container shop: port 3000 is declared", change: appPort("3000")},
		{name: "port 80 by default", fault: "container shop: port 80 is declared", change: appPort("80"), args: "--set sidecar.routes.upstreams.app=http://localhost"},
		{
			name: "port of an endpoint", fault: "container shop: port 3001 is declared", change: appPort("3001"),
			args: "--set sidecar.routes.upstreams.many.urls={http://localhost:3002,http://127.0.0.1:3001}",
		},
		{
			name: "port of an upstream with fields", fault: "container shop: port 443 is declared", change: appPort("443"),
			args: "--set sidecar.routes.upstreams.safe.url=https://localhost",
		},
		{name: "port 443 by default", fault: "container shop: port 443 is declared", change: appPort("443"), args: "--set sidecar.routes.upstreams.app=https://[::1]"},
		{
			name: "port by a template", fault: "container shop: port 3000 is declared", change: appPort("{{ .Values.appPort }}"),
			args: "--set appPort=3000,sidecar.routes.upstreams.app=http://127.0.0.2:{{.Values.appPort}}",
		},
		{name: "name of the HTTP port", fault: "the port name lilypad-http is the sidecar's", change: func(s shop) { s.container("ports: [{name: lilypad-http, containerPort: 9000}]") }},
		{name: "name of the ops port", fault: "the port name lilypad-ops is the sidecar's", change: func(s shop) { s.container("ports: [{name: lilypad-ops, containerPort: 9000}]") }},
		{name: "number of the HTTP port", fault: "port 8080 is the sidecar's", change: func(s shop) { s.container("ports: [{name: web, containerPort: 8080}]") }},
		{name: "number of the ops port", fault: "port 9090 is the sidecar's", change: func(s shop) { s.container("ports: [{name: metrics, containerPort: 9090}]") }},
		{name: "name of the container", fault: "container sidecar: the name is the sidecar's", change: func(s shop) { s.deployment("- name: {{ .Chart.Name }}", "- name: sidecar") }},
		{name: "another proxy", fault: "container proxy: port 8080 is the sidecar's", change: func(s shop) {
			s.deployment(`(?m)^( *)initContainers:.*$`, "$0\n$1  - {name: proxy, image: proxy, restartPolicy: Always, ports: [{containerPort: 8080}]}")
		}},
		{name: "liveness probe", fault: "container shop: livenessProbe goes to port 3000", args: "--set livenessProbe.httpGet.port=3000"},
		{
			name: "readiness probe by name", fault: "container shop: readinessProbe goes to port web", args: "--set readinessProbe.httpGet.port=web",
			change: func(s shop) { s.container("ports: [{name: web, containerPort: 3000}]") },
		},
		{name: "startup probe", fault: "container shop: startupProbe goes to port 3000", change: func(s shop) { s.container("startupProbe: {tcpSocket: {port: 3000}}") }},
		{name: "preStop hook", fault: "container shop: lifecycle.preStop goes to port 3000", change: func(s shop) { s.deployment("preStop: .*", "preStop: {httpGet: {path: /, port: 3000}}") }},
		{name: "short preStop sleep", fault: "lifecycle.preStop sleeps for 10 s", args: "--set sidecar.shutdownDelay=10s"},
		{name: "another ServiceAccount", fault: "serviceAccountName is mine", change: func(s shop) { s.deployment("serviceAccountName:.*", "serviceAccountName: mine") }},
		{name: "no ServiceAccount", fault: "serviceAccountName is default", change: func(s shop) { s.deployment("serviceAccountName:.*\n", "\n") }},
		{
			name: "a ServiceAccount of that name", fault: "ServiceAccount release-shop: lilypad-sidecar.resources makes an object of this kind and name",
			change: func(s shop) {
				s.add("templates/serviceaccount.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: release-shop}\n")
			},
		},
		{name: "host network", fault: "hostNetwork", change: func(s shop) { s.pod("hostNetwork: true") }},
		{name: "other pod labels", fault: "the pod lacks lilypad-sidecar.podLabels", change: func(s shop) { s.deployment("lilypad-sidecar.podLabels", "shop.labels") }},
		{
			name: "overridden pod labels", fault: "the pod lacks lilypad-sidecar.podLabels",
			args: `--set sidecar.app=web --set-json podLabels={"app.kubernetes.io/name":"shop"}`,
		},
		{
			name: "no sidecar", fault: "no pod has lilypad-sidecar.container among its initContainers",
			change: func(s shop) { s.deployment(" initContainers:", " sidecars:") },
		},
		{
			name: "a Service of that name", fault: "Service release-shop: lilypad-sidecar.resources makes an object of this kind and name",
			change: func(s shop) { s.service("release-shop", "{ports: [{port: 80}]}") },
		},
		{
			name: "a NetworkPolicy of that name", fault: "NetworkPolicy release-shop-sidecar: lilypad-sidecar.resources makes",
			change: func(s shop) { s.policy("release-shop-sidecar", "[]") },
		},
		{name: "a Service by target port", fault: leads, change: aService("{" + theApp + ", ports: [{port: 80, targetPort: 3000}]}")},
		{name: "a Service by port", fault: leads, change: aService("{" + theApp + ", ports: [{port: 3000}]}")},
		{name: "a Service by port name", fault: leads, change: func(s shop) {
			s.container("ports: [{name: web, containerPort: 3000}]")
			s.service("web", "{"+theApp+", ports: [{port: 80, targetPort: web}]}")
		}},
		{name: "a headless Service", fault: leads, change: func(s shop) {
			s.add("templates/services.yaml", service("web", "{clusterIP: None, selector: {app.kubernetes.io/instance: release}, ports: [{port: 80, targetPort: 3000}]}"))
		}},
		{name: "a Service in a listed file", fault: leads, args: "--set sidecar.templates={doors.yaml}", change: func(s shop) {
			s.add("templates/doors.yaml", service("web", "{"+theApp+", ports: [{port: 3000}]}"))
		}},
		{name: "a Service in the Deployment's file", fault: leads, change: func(s shop) {
			s.add("templates/deployment.yaml", "\n---\n"+service("web", "{"+theApp+", ports: [{port: 3000}]}"))
		}},
		{
			name: "a Service to a second upstream", fault: "Service two: leads to port 3001 of the app's pods", args: "--set sidecar.routes.upstreams.two=http://127.0.0.1:3001",
			change: func(s shop) { s.service("two", "{"+theApp+", ports: [{port: 3001}]}") },
		},
		{name: "a NetworkPolicy of every port", fault: policyLeads, change: aPolicy("[{}]")},
		{name: "a NetworkPolicy by port", fault: policyLeads, change: aPolicy("[{ports: [{port: 3000}]}]")},
		{name: "a NetworkPolicy by range", fault: policyLeads, change: aPolicy("[{ports: [{port: 2000, endPort: 4000}]}]")},
		{name: "a NetworkPolicy by protocol", fault: policyLeads, change: aPolicy("[{ports: [{protocol: TCP}]}]")},
		{name: "an upstream that is the sidecar", fault: "http://127.0.0.1:8080 is the sidecar itself", args: "--set sidecar.routes.upstreams.app=http://127.0.0.1:8080"},
		{
			name: "a setting of the library", fault: "sidecar.extraEnv: LILYPAD_LISTEN is set by the library",
			args: `--set-json sidecar.extraEnv=[{"name":"LILYPAD_LISTEN","value":":80"}]`,
		},
	}
}

// shopObjects checks what else the chart renders.
func shopObjects(t *testing.T, base shop) {
	accounts := func(all objects) (found []string) {
		for _, a := range of[*corev1.ServiceAccount](all) {
			found = append(found, a.Name)
		}
		return found
	}
	ofPods := func(all objects) (found []string) {
		for _, p := range all.pods() {
			found = append(found, p.Spec.ServiceAccountName)
		}
		return found
	}
	all := base.render(t, "")
	check(t, "ServiceAccount of the pod", ofPods(all), []string{"release-shop"})
	check(t, "ServiceAccounts", accounts(all), []string{"release-shop"})

	own := base.changed(t, func(s shop) { s.deployment("serviceAccountName:.*", "serviceAccountName: mine") }).render(t, "--set sidecar.serviceAccount.create=false")
	check(t, "own ServiceAccount/none is made", len(accounts(own)), 0)
	check(t, "own ServiceAccount/of the pod", ofPods(own), []string{"mine"})

	var volumes []string
	for _, p := range base.render(t, `--set-json volumes=[{"name":"data","emptyDir":{}}]`).pods() {
		for _, v := range p.Spec.Volumes {
			volumes = append(volumes, v.Name)
		}
	}
	check(t, "volumes of sidecar and app", volumes, []string{"lilypad-routes", "lilypad-token", "data"})

	check(t, "backend of the HTTPRoute", base.render(t, "--set httpRoute.enabled=true").httpRoutes(), []string{"release-shop:8080"})
	var backends []string
	for _, i := range of[*networkingv1.Ingress](base.render(t, "--set ingress.enabled=true")) {
		for _, rule := range i.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				backends = append(backends, path.Backend.Service.Name)
			}
		}
	}
	check(t, "backend of the Ingress", backends, []string{"release-shop"})

	t.Run("helm lint", func(t *testing.T) {
		if _, err := helm(t, "lint", base.dir); err != nil {
			t.Error(err)
		}
	})

	t.Run("all faults at once", func(t *testing.T) {
		s := base.changed(t, func(s shop) {
			s.pod("hostNetwork: true")
			s.container("ports: [{containerPort: 3000}]")
			s.service("web", "{"+theApp+", ports: [{port: 3000}]}")
		})
		_, err := template(t, s.dir)
		if err == nil || strings.Count(err.Error(), "\n  - ") != 3 {
			t.Errorf("%v, want three faults", err)
		}
	})

	t.Run("a Service and a NetworkPolicy of another port", func(t *testing.T) {
		all := base.changed(t, func(s shop) {
			s.service("metrics", "{"+theApp+", ports: [{port: 3001}]}")
			s.policy("open", "[{ports: [{port: 3001}]}]")
		}).render(t, "")
		services := slices.ContainsFunc(of[*corev1.Service](all), func(s *corev1.Service) bool { return s.Name == "metrics" })
		policies := slices.ContainsFunc(of[*networkingv1.NetworkPolicy](all), func(p *networkingv1.NetworkPolicy) bool { return p.Name == "open" })
		if !services || !policies {
			t.Errorf("Service metrics %v, NetworkPolicy open %v, want both", services, policies)
		}
	})
	t.Run("a Service of other pods", func(t *testing.T) {
		all := base.changed(t, func(s shop) {
			s.service("other", "{selector: {app.kubernetes.io/name: other}, ports: [{port: 3000}]}")
		}).render(t, "")
		if !slices.ContainsFunc(of[*corev1.Service](all), func(s *corev1.Service) bool { return s.Name == "other" }) {
			t.Error("no Service other")
		}
	})
}
