package charts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The values without which the charts do not render.
const (
	lilypad = "charts/lilypad --set stores.existingSecret=stores --set clients.serviceAccounts={frogs/frontend}"
	frogs   = "charts/frogs --set publicURL=https://frogs.example.com --set api.stores.existingSecret=stores"
)

// TestCharts has a subtest for each check. Charts are rendered side by side.
func TestCharts(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]string{
		"lilypad": lilypad, "frogs": frogs,
		"frogs by HTTPRoute": frogs + " --set route.kind=HTTPRoute --set route.parentRefs[0].name=gateway",
	} {
		t.Run("LockedDown/"+name, func(t *testing.T) { t.Parallel(); lockedDown(t, renderLine(t, args)) })
	}
	t.Run("APIAccess", func(t *testing.T) { t.Parallel(); apiAccess(t) })
	t.Run("Keyring", func(t *testing.T) { t.Parallel(); keyring(t) })
	t.Run("Values", values)
	t.Run("Authorities", authorities)
	t.Run("Shop", shopChart)
}

// renderLine renders with the arguments of a line, which hold no spaces themselves.
func renderLine(t *testing.T, line string) objects {
	t.Helper()
	args := strings.Fields(line)
	return render(t, args[0], args[1:]...)
}

// check is one check: got must be want.
func check[T any](t *testing.T, name string, got, want T) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		if got, want := text(t, got), text(t, want); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func text(t *testing.T, value any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// each is one check of every element: it lists those that fail it.
func each[T any](t *testing.T, name string, list []T, nameOf func(T) string, holds func(T) bool) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		if len(list) == 0 {
			t.Error("there are none, want at least one")
		}
		for _, element := range list {
			if !holds(element) {
				t.Errorf("not so: %s", nameOf(element))
			}
		}
	})
}

// lockedDown checks what Pod Security `restricted` and this project ask of every pod and container.
func lockedDown(t *testing.T, all objects) {
	containers := func(name string, holds func(corev1.Container) bool) {
		each(t, name, all.containers(), func(c corev1.Container) string { return c.Name }, holds)
	}
	secured := func(name string, holds func(*corev1.SecurityContext) bool) {
		containers(name, func(c corev1.Container) bool { return c.SecurityContext != nil && holds(c.SecurityContext) })
	}
	pods := func(name string, holds func(corev1.PodTemplateSpec) bool) {
		each(t, name, all.pods(), func(p corev1.PodTemplateSpec) string { return fmt.Sprint(p.Labels) }, holds)
	}
	is := func(flag *bool, want bool) bool { return flag != nil && *flag == want }

	secured("root file system is read-only", func(s *corev1.SecurityContext) bool { return is(s.ReadOnlyRootFilesystem, true) })
	secured("no privilege escalation", func(s *corev1.SecurityContext) bool { return is(s.AllowPrivilegeEscalation, false) })
	secured("no capabilities", func(s *corev1.SecurityContext) bool {
		return s.Capabilities != nil && slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(s.Capabilities.Add) == 0
	})
	containers("memory is limited", func(c corev1.Container) bool { return !c.Resources.Limits.Memory().IsZero() })
	containers("readiness probe", func(c corev1.Container) bool { return c.ReadinessProbe != nil })
	containers("liveness probe", func(c corev1.Container) bool { return c.LivenessProbe != nil })
	pods("no service links", func(p corev1.PodTemplateSpec) bool { return is(p.Spec.EnableServiceLinks, false) })
	pods("runs as non-root", func(p corev1.PodTemplateSpec) bool {
		return p.Spec.SecurityContext != nil && is(p.Spec.SecurityContext.RunAsNonRoot, true)
	})
	pods("seccomp profile", func(p corev1.PodTemplateSpec) bool {
		if p.Spec.SecurityContext == nil {
			return false
		}
		profile := p.Spec.SecurityContext.SeccompProfile
		return profile != nil && profile.Type == corev1.SeccompProfileTypeRuntimeDefault
	})
	pods("one disruption budget", func(p corev1.PodTemplateSpec) bool {
		budgets := 0
		for _, b := range of[*policyv1.PodDisruptionBudget](all) {
			selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
			if err == nil && selector.Matches(labels.Set(p.Labels)) {
				budgets++
			}
		}
		return budgets == 1
	})
	pods("nothing of the host", func(p corev1.PodTemplateSpec) bool {
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			if c.SecurityContext != nil && c.SecurityContext.Privileged != nil || slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 }) {
				return false
			}
		}
		volumes := slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil })
		return !volumes && !p.Spec.HostNetwork && !p.Spec.HostPID && !p.Spec.HostIPC
	})
}

// apiAccess: the auth service may have TokenReviews made and read the keys of ServiceAccount
// tokens, and nothing else of the whole cluster. No pod of the app gets a token of the API server.
func apiAccess(t *testing.T) {
	mounted := func(all objects) int {
		n := 0
		for _, p := range all.pods() {
			if p.Spec.AutomountServiceAccountToken == nil || *p.Spec.AutomountServiceAccountToken {
				n++
			}
		}
		return n
	}
	all := renderLine(t, lilypad)
	check(t, "pods of lilypad with an API token", mounted(all), 1)
	check(t, "pods of frogs with an API token", mounted(renderLine(t, frogs)), 0)
	var bound []string
	for _, b := range of[*rbacv1.ClusterRoleBinding](all) {
		bound = append(bound, b.RoleRef.Name)
	}
	check(t, "cluster role bindings", len(bound), 2)
	check(t, "issuer discovery", slices.Contains(bound, "system:service-account-issuer-discovery"), true)
	var rules [][]string
	for _, r := range of[*rbacv1.ClusterRole](all) {
		for _, rule := range r.Rules {
			rules = append(rules, rule.Resources)
		}
	}
	check(t, "cluster role", rules, [][]string{{"tokenreviews"}})
}

// keyring: the service makes the keys. No rendering holds one, all renderings are the same, and the
// service may read and change that one Secret.
func keyring(t *testing.T) {
	secretRules := func(all objects) (rules []rbacv1.PolicyRule) {
		for _, r := range of[*rbacv1.Role](all) {
			for _, rule := range r.Rules {
				if slices.Contains(rule.Resources, "secrets") {
					rules = append(rules, rule)
				}
			}
		}
		return rules
	}
	secretVolumes := func(all objects, holds func(*corev1.SecretVolumeSource) bool) int {
		n := 0
		for _, p := range all.pods() {
			for _, v := range p.Spec.Volumes {
				if v.Secret != nil && holds(v.Secret) {
					n++
				}
			}
		}
		return n
	}
	args := strings.Fields(lilypad)
	first, err1 := template(t, args[0], args[1:]...)
	second, err2 := template(t, args[0], args[1:]...)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	check(t, "two renderings are equal", first == second, true)
	all := decode(t, first)
	data, kept := 0, 0
	for _, s := range of[*corev1.Secret](all) {
		data += len(s.Data) + len(s.StringData)
		if s.Annotations["helm.sh/resource-policy"] == "keep" {
			kept++
		}
	}
	for _, c := range of[*corev1.ConfigMap](all) {
		data += len(c.Data) + len(c.BinaryData)
	}
	check(t, "no key in the chart", data == 0 && !strings.Contains(first, "PRIVATE KEY"), true)
	check(t, "Secrets that outlive the release", kept, 1)
	rules := secretRules(all)
	if len(rules) != 1 {
		t.Fatalf("%d rules for Secrets, want 1", len(rules))
	}
	check(t, "resources", rules[0].Resources, []string{"secrets"})
	check(t, "resource names", rules[0].ResourceNames, []string{"release-auth-keyring"})
	check(t, "verbs", rules[0].Verbs, []string{"get", "patch"})

	check(t, "no Secret of keys is mounted", secretVolumes(all, func(s *corev1.SecretVolumeSource) bool { return s.SecretName != "stores" }), 0)

	own := renderLine(t, lilypad+" --set keys.existingSecret=mine")
	check(t, "own Secret/no rule for Secrets", len(secretRules(own)), 0)
	check(t, "own Secret/no keyring", len(of[*corev1.Secret](own)), 0)
	check(t, "own Secret/mounted", secretVolumes(own, func(s *corev1.SecretVolumeSource) bool { return s.SecretName == "mine" }), 1)
	check(t, "own Secret/required", secretVolumes(own, func(s *corev1.SecretVolumeSource) bool { return s.Optional != nil && *s.Optional }), 0)
}

// authorities: the CA certificate of a store is mounted from where the values say, and the program
// is told where it is.
func authorities(t *testing.T) {
	key := func(key, path string) []corev1.KeyToPath { return []corev1.KeyToPath{{Key: key, Path: path}} }
	configMap := func(name, path string) corev1.VolumeProjection {
		return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: key("ca.crt", path),
		}}
	}
	secret := func(name, from, path string) corev1.VolumeProjection {
		return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: key(from, path),
		}}
	}
	for _, c := range []struct {
		args  string
		store string // that is told of its own
		want  []corev1.VolumeProjection
	}{
		{lilypad + " --set stores.databaseCA.configMap=ours", "DATABASE", []corev1.VolumeProjection{configMap("ours", "database.pem")}},
		{lilypad + " --set stores.redisCA.secret=ours,stores.redisCA.key=tls.crt", "REDIS", []corev1.VolumeProjection{secret("ours", "tls.crt", "redis.pem")}},
		{
			lilypad + " --set stores.databaseCA.configMap=one,stores.redisCA.secret=two", "REDIS",
			[]corev1.VolumeProjection{configMap("one", "database.pem"), secret("two", "ca.crt", "redis.pem")},
		},
		{frogs + " --set api.stores.databaseCA.secret=ours", "DATABASE", []corev1.VolumeProjection{secret("ours", "ca.crt", "database.pem")}},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			all := renderLine(t, c.args)
			var sources [][]corev1.VolumeProjection
			for _, p := range all.pods() {
				for _, v := range p.Spec.Volumes {
					if v.Name == "authorities" {
						sources = append(sources, v.Projected.Sources)
					}
				}
			}
			check(t, "sources", sources, [][]corev1.VolumeProjection{c.want})
			check(t, "setting", all.env("LILYPAD_"+c.store+"_CA_FILE"), []string{"/etc/lilypad/authorities/" + strings.ToLower(c.store) + ".pem"})
			var mounts []corev1.VolumeMount
			for _, container := range all.containers() {
				for _, m := range container.VolumeMounts {
					if m.Name == "authorities" {
						mounts = append(mounts, m)
					}
				}
			}
			check(t, "mount", mounts, []corev1.VolumeMount{{Name: "authorities", MountPath: "/etc/lilypad/authorities", ReadOnly: true}})
		})
	}
	t.Run("none by default", func(t *testing.T) {
		t.Parallel()
		for _, chart := range []string{lilypad, frogs} {
			args := strings.Fields(chart)
			text, err := template(t, args[0], args[1:]...)
			if err != nil || strings.Contains(text, "authorities") || strings.Contains(text, "CA_FILE") {
				t.Errorf("%s: error %v, want one without authorities and CA_FILE:\n%s", chart, err, text)
			}
		}
	})
}

// values has a case for each value that is refused, with the text that the message must contain,
// and for each that shows in what is rendered.
func values(t *testing.T) {
	for _, c := range valueCases() {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(c.args)
			text, err := template(t, args[0], args[1:]...)
			switch {
			case c.refused != "" && err == nil:
				t.Errorf("rendered, want a refusal that says %q", c.refused)
			case c.refused != "" && !strings.Contains(err.Error(), c.refused):
				t.Errorf("the message lacks %q: %v", c.refused, err)
			case c.refused == "" && err != nil:
				t.Errorf("does not render: %v", err)
			case c.refused == "":
				if got := c.got(decode(t, text)); !slices.Contains(got, c.want) {
					t.Errorf("%q, want %q among them", got, c.want)
				}
			}
		})
	}
}

// valueCase either is refused, or renders objects of which got returns want among others.
type valueCase struct {
	args    string
	refused string
	got     func(objects) []string
	want    string
}

func valueCases() []valueCase {
	refused := func(text, args string) valueCase { return valueCase{args: args, refused: text} }
	env := func(name, value, args string) valueCase {
		return valueCase{args: args, want: value, got: func(all objects) []string { return all.env(name) }}
	}
	gracePeriod := func(all objects) (found []string) {
		for _, p := range all.pods() {
			found = append(found, fmt.Sprint(*p.Spec.TerminationGracePeriodSeconds))
		}
		return found
	}
	preStop := func(all objects) (found []string) {
		for _, c := range all.containers() {
			if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Exec != nil {
				found = append(found, strings.Join(c.Lifecycle.PreStop.Exec.Command, " "))
			}
		}
		return found
	}
	ingress := func(field func(networkingv1.IngressSpec) string) func(objects) []string {
		return func(all objects) (found []string) {
			for _, i := range of[*networkingv1.Ingress](all) {
				found = append(found, field(i.Spec))
			}
			return found
		}
	}
	const someClients = ` --set-json sidecar.networkPolicy.clients=[{"podSelector":{}}]`
	digest := "sha256:" + strings.Repeat("0", 64)
	return []valueCase{
		refused("'/stores/existingSecret'", "charts/lilypad"),
		refused("'/stores/existingSecret'", "charts/lilypad --set stores.existingSecret="),
		refused("'/replicas'", lilypad+" --set replicas=0"),
		refused("'/issuer'", lilypad+" --set issuer=http://auth.example.com"),
		refused("'/issuer'", lilypad+" --set issuer=ftp://auth.example.com"),
		refused("'/audiences'", lilypad+" --set-json audiences=[]"),
		refused("'cors' not allowed", lilypad+" --set cors=*"),
		refused("'/tokens/accessTTL'", lilypad+" --set tokens.accessTTL=5"),
		refused("tokens.accessTTL", lilypad+" --set tokens.accessTTL=1h"),
		refused("tokens.accessTTL (10m) must be shorter than sessions.idleTTL (9m)", lilypad+" --set tokens.accessTTL=10m,sessions.idleTTL=9m"),
		refused("sessions.minRotationInterval (5s) is shorter than sessions.overlap (10s)", lilypad+" --set sessions.minRotationInterval=5s"),
		refused("sessions.minRotationInterval (10s) is shorter than sessions.overlap (1m)", lilypad+" --set sessions.overlap=1m"),
		env("LILYPAD_MIN_ROTATION_INTERVAL", "1m", lilypad+" --set sessions.overlap=1m,sessions.minRotationInterval=1m"),
		refused("sessions.idleTTL (800h) is longer than sessions.absoluteTTL", lilypad+" --set sessions.idleTTL=800h"),
		refused("'/keys/rotateEvery'", lilypad+" --set keys.rotateEvery=monthly"),
		refused("keys.publishAhead is 1m", lilypad+" --set keys.publishAhead=1m"),
		refused("keys.rotateEvery (9m) is too short", lilypad+" --set keys.rotateEvery=9m,keys.publishAhead=3m"),
		env("LILYPAD_PROVIDERS_FILE", "/etc/lilypad/providers/providers.yaml", lilypad+" --set signIn.providersSecret=providers"),
		env("LILYPAD_PASSWORDS", "false", lilypad+" --set signIn.passwords=false"),
		env("LILYPAD_REGISTRATION", "false", lilypad+" --set signIn.registration=false"),
		refused("'/signIn/passwords'", lilypad+" --set signIn.passwords=sometimes"),
		env("LILYPAD_KEYS_ROTATE_EVERY", "10m", lilypad+" --set keys.rotateEvery=10m,keys.publishAhead=3m"),
		refused("'/clients/serviceAccounts'", "charts/lilypad --set stores.existingSecret=stores"),
		refused("'/clients/serviceAccounts/0'", lilypad+" --set clients.serviceAccounts={frontend}"),
		refused("'/image/digest'", lilypad+" --set image.digest=latest"),
		env("LILYPAD_REBUILD_SESSIONS", "false", lilypad+" --set sessions.rebuild=false"),
		{args: lilypad, got: objects.egressPorts, want: "6379/TCP"},
		{args: lilypad + " --set networkPolicy.redisPorts={6379,26379}", got: objects.egressPorts, want: "26379/TCP"},
		refused("'/networkPolicy/redisPorts'", lilypad+" --set-json networkPolicy.redisPorts=[]"),
		refused("'/log/level'", lilypad+" --set log.level=trace"),
		{args: lilypad + " --set image.digest=" + digest, got: objects.images, want: "lilypad/auth@" + digest},
		env("LILYPAD_ISSUER", "http://release-auth.test.svc:8080", lilypad),
		env("LILYPAD_ISSUER", "https://auth.example.com", lilypad+" --set issuer=https://auth.example.com"),
		refused("'/stores/redisCA'", lilypad+" --set stores.redisCA.secret=one,stores.redisCA.configMap=two"),
		refused("'/stores/databaseCA/secret'", lilypad+" --set stores.databaseCA.secret=No_Name"),

		refused("'/publicURL'", "charts/frogs --set api.stores.existingSecret=stores"),
		refused("'/publicURL'", frogs+" --set publicURL=http://frogs.example.com"),
		refused("'/publicURL'", frogs+" --set publicURL=https://frogs.example.com/path"),
		refused("'/api/stores/existingSecret'", "charts/frogs --set publicURL=https://frogs.example.com"),
		refused("'/api/stores/databaseCA'", frogs+" --set api.stores.databaseCA.secret=one,api.stores.databaseCA.configMap=two"),
		refused("'/frontend/replicas'", frogs+" --set frontend.replicas=0"),
		refused("'/route/parentRefs'", frogs+" --set route.kind=HTTPRoute"),
		refused("'/authURL'", frogs+" --set sidecar.authURL=http://auth.example.com"),
		refused("'/templates/0'", frogs+" --set sidecar.templates={../values.yaml}"),
		refused("'/routes/routes/0/policy'", frogs+` --set-json sidecar.routes.routes=[{"prefix":"/","upstream":"app","policy":"open"}]`),
		refused("sidecar.routes.routes[0].upstream", frogs+` --set-json sidecar.routes.routes=[{"prefix":"/","upstream":"ap","policy":"public"}]`),
		refused("'/trustedProxies/0'", frogs+" --set sidecar.trustedProxies={everybody}"),
		env("LILYPAD_TRUSTED_PROXIES", "192.0.2.7,2001:db8::/124", frogs+" --set sidecar.trustedProxies={192.0.2.7,2001:db8::/124}"),
		refused("'/trustedHops'", frogs+" --set sidecar.trustedHops=-1"),
		refused("sidecar.trustedHops: whoever reaches the sidecar", frogs+" --set sidecar.trustedHops=1"),
		refused("sidecar.trustedHops: whoever reaches the sidecar", frogs+" --set sidecar.trustedHops=1,sidecar.networkPolicy.enabled=false"+someClients),
		env("LILYPAD_TRUSTED_HOPS", "1", frogs+" --set sidecar.trustedHops=1"+someClients),
		env("LILYPAD_TRUSTED_HOPS", "2", frogs+" --set sidecar.trustedHops=2 --set sidecar.trustedProxies={192.0.2.7}"),
		env("LILYPAD_TRUSTED_HOPS", "1", frogs+" --values k8s/dev/values/frogs.yaml"),
		env("LILYPAD_DROP_HEADERS", "X-Tenant,Acme-*", frogs+" --set sidecar.dropHeaders={X-Tenant,Acme-*}"),
		refused("'/dropHeaders/0'", frogs+" --set sidecar.dropHeaders={X_Tenant}"),
		refused("'/dropHeaders/0'", frogs+" --set sidecar.dropHeaders={*}"),
		env("LILYPAD_LOGIN_PATH", "/login", frogs),
		env("LILYPAD_REGISTER_PATH", "/register", frogs),
		env("LILYPAD_LOGIN_PATH", "/in", frogs+" --set sidecar.loginPath=/in"),
		refused("'/routes/brand/color'", frogs+" --set sidecar.routes.brand.color=green"),
		refused("'/loginPath'", frogs+" --set sidecar.loginPath=in"),
		env("LILYPAD_MAX_SESSIONS", "7", frogs+` --set-json sidecar.extraEnv=[{"name":"LILYPAD_MAX_SESSIONS","value":"7"}]`),
		{args: frogs, got: gracePeriod, want: "50"},
		{args: frogs + " --set sidecar.shutdownDelay=1m20s,frontend.preStopSeconds=91", got: gracePeriod, want: "206"},
		refused("frontend.preStopSeconds (5) must be longer than sidecar.shutdownDelay (5s)", frogs+" --set frontend.preStopSeconds=5"),
		refused("frontend.preStopSeconds (10) must be longer than sidecar.shutdownDelay (1m20s)", frogs+" --set sidecar.shutdownDelay=1m20s"),
		{args: frogs, got: preStop, want: "/sidecar stop"},
		env("LILYPAD_SHUTDOWN_DELAY", "8s", frogs+" --set sidecar.shutdownDelay=8s"),
		refused("'/shutdownDelay'", frogs+" --set sidecar.shutdownDelay=8"),
		env("LILYPAD_CLIENT_MEMORY", "50000000", frogs+" --set sidecar.limits.memory=50000000"),
		refused("'/limits/memory'", frogs+" --set sidecar.limits.memory=-1"),
		env("LILYPAD_MAX_BODY_TIME", "1h", frogs),
		refused("'/limits/bodyTime'", frogs+" --set sidecar.limits.bodyTime=1"),
		refused("'/limits/connectionsPerAddress'", frogs+" --set sidecar.limits.connectionsPerAddress=-1"),
		refused("'/limits/upstreamRequests'", frogs+" --set sidecar.limits.upstreamRequests=many"),
		refused("'/extraEnv/0/name'", frogs+` --set-json sidecar.extraEnv=[{"name":"login\u0020path","value":"/in"}]`),
		{args: frogs + " --set publicURL=http://frogs.localhost:8080", want: "frogs.localhost", got: ingress(func(i networkingv1.IngressSpec) string { return i.Rules[0].Host })},
		{args: frogs + " --set route.kind=HTTPRoute --set route.parentRefs[0].name=gateway", got: objects.httpRoutes, want: "release-frontend:8080"},
		{args: frogs + " --set route.tlsSecret=tls", want: "tls", got: ingress(func(i networkingv1.IngressSpec) string { return i.TLS[0].SecretName })},
	}
}
