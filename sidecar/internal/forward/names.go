package forward

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// fate is what becomes of a client's request field.
type fate uint8

const (
	pass    fate = iota
	drop         // never passes
	cookies      // passes without our cookies
	chunks       // passes with a chunked body
)

// dropped returns the request fields by which an app, or a server or library under it, learns who
// the client is, where it is, or what it asked for. Whoever stands in front of the app sets them or
// removes them: that is the sidecar. Each family names the documentation that it is from. A star at
// the end stands for any rest.
func dropped() []string {
	return []string{
		// The connection's own fields, which the sidecar sets itself (RFC 9110, sections 7.6.1, 7.8
		// and 10.1.1; RFC 9112, section 6; RFC 7540, section 3.2.1); and the cookies of RFC 2965,
		// which announce another reading of Cookie.
		"Connection", "Keep-Alive", "TE", "Upgrade", "Transfer-Encoding", "Content-Length", "Host", "Expect", "HTTP2-Settings", "Cookie2",

		// Ours, and credentials: the app gets our access token or none. Proxy is httpoxy
		// (CVE-2016-5385).
		"Lilypad-*", "X-Lilypad-*", "X-Request-Id", "Authorization", "Proxy", "Proxy-*", "X-Proxy*",

		// Where a request comes from and how (RFC 7239; MDN on X-Forwarded-*; Rails
		// ActionDispatch::RemoteIp; gunicorn secure_scheme_headers; the lists that scanners try).
		"Forwarded*", "X-Forward*", "X-Real-*", "X-RealIP", "Real-IP", "X-Originating-*", "Client-IP", "X-Client-IP*", "X-ClientIP",
		"X-Cluster-Client-*", "X-True-*", "X-Source-IP", "X-Custom-IP-*", "X-Remote*", "Remote-*", "X-Scheme", "X-Url-Scheme", "X-Https",
		"Front-End-Https",

		// Another method, host or path than the one that was judged (Rack::MethodOverride; Symfony,
		// Laravel; Laminas and IIS ARR on X-Original-URL and X-Rewrite-URL; Traefik ReplacePath;
		// Flask and gunicorn on the script name; Home Assistant).
		"X-HTTP-*", "X-Method-Override", "X-Host*", "X-Original*", "X-Rewrite*", "X-Override-*", "X-Replaced-*", "X-Script-Name", "Script-Name",
		"Path-Info", "X-Base-Url", "Base-Url", "X-Uri", "Uri", "X-Url", "Url", "Http-Url", "X-Request-Uri", "Request-Uri", "X-Context-Path",
		"X-Ingress-*",

		// Which files the server in front sends for the app (Rack::Sendfile, CVE-2025-61780; nginx
		// X-Accel).
		"X-Sendfile*", "X-Accel-*",

		// The client's certificate (RFC 9440; ingress-nginx; HAProxy; IIS ARR; F5 BIG-IP iRules).
		// Platforms have more, below.
		"Client-Cert*", "Client-Verify", "X-Client-Cert*", "X-Client-CN", "X-Client-DN*", "X-Client-Verify*", "X-Client-Subject*",
		"X-SSL-*", "SSL-*", "SSLClientCert*", "X-TLS-*", "X-ARR-*",

		// The user by the names that many use: CGI's REMOTE_USER and AUTH_TYPE (RFC 3875), Authelia
		// (Remote-*), oauth2-proxy (X-Auth-Request-*, GAP-*), Grafana and Gitea (X-WebAuth-*),
		// Symfony (X-Switch-User), OpenStack keystonemiddleware.
		"User", "User-ID", "UserID", "User-Name", "Username", "User-Email", "User-Role*", "User-Group*", "X-User*", "X-UID", "X-Sub",
		"X-Subject*", "X-Email*", "X-Mail", "X-Login*", "X-Name-ID", "X-Role*", "X-Group*", "X-Entitlement*", "X-Claim*", "X-Identity*",
		"X-Principal*", "X-Admin*", "X-Is-Admin*", "X-Switch-User", "X-Auth*", "Auth-*", "Authenticated-*", "X-WebAuth-*", "GAP-*", "X-SSO-*",
		"SSO-*",

		// Tokens that gateways pass on (WSO2; Kong; Google API Gateway and Cloud Endpoints;
		// APISIX).
		"X-JWT*", "X-Access-Token*", "X-ID-Token*", "X-Token-Subject*", "X-Endpoint-API-UserInfo", "X-Apigateway-Api-UserInfo", "X-OIDC-*",

		// In somebody else's name (Kubernetes: user impersonation, and aggregation with X-Remote-*;
		// GitLab; Elasticsearch; Trino).
		"Impersonat*", "X-Impersonat*", "Sudo", "X-Sudo*", "Run-As*", "X-Run-As*", "On-Behalf-Of*", "X-On-Behalf-Of*", "X-Act-As*", "X-Acting-*",
		"ES-Security-*", "X-Trino-User", "X-Trino-Original-User", "X-Presto-User",

		// Access managers (Broadcom SiteMinder; IBM WebSEAL; Oracle Access Manager and OSSO; RSA
		// ClearTrust; PingFederate agents).
		"SM-*", "SMUser", "IV-*", "AM-EAI-*", "OAM-*", "OSSO-*", "CT-Remote-User", "PF-Auth-*",

		// Modules of Apache httpd (Shibboleth SP with ShibUseHeaders, and the names of its
		// attribute-map.xml; mod_auth_mellon; mod_auth_openidc; mod_auth_cas).
		"Shib-*", "EPPN", "Affiliation", "Unscoped-Affiliation", "Primary-Affiliation", "Entitlement", "Assurance", "Subject-Id", "Pairwise-Id",
		"Persistent-Id", "Targeted-Id", "EduPerson*", "Mail", "UID", "CN", "SN", "GivenName", "DisplayName", "IsMemberOf", "Member",
		"EmployeeNumber", "Mellon-*", "OIDC-*", "CAS-*",

		// Proxies that sign users in (Vouch; authentik; Pomerium; Tailscale Serve; Cloudflare, of
		// which Access is a part; Kong; Tyk; Teleport).
		"X-Vouch-*", "X-Authentik-*", "X-Pomerium-*", "Tailscale-*", "CF-*", "X-Consumer-*", "X-Credential-*", "X-Anonymous-Consumer",
		"X-Tyk-*", "Teleport-*",

		// Platforms: AWS (ALB with OIDC, Cognito or mutual TLS; Verified Access; Lambda Web
		// Adapter; CloudFront), Google (IAP; App Engine), Azure (App Service, Front Door,
		// Application Gateway), and content delivery networks.
		"X-Amzn-OIDC-*", "X-Amzn-MTLS-*", "X-Amzn-TLS-*", "X-Amzn-AVA-*", "X-Amzn-Request-Context", "X-Amzn-Lambda-Context", "CloudFront-*",
		"X-Goog-Authenticated-*", "X-Goog-IAP-*", "X-Appengine-*", "X-Google-*",
		"X-MS-Client-Principal*", "X-MS-Token-*", "X-MS-Original-*", "X-MS-Proxy*", "X-Azure-*", "X-FD-*", "X-WAWS-*", "X-AppService-*",
		"Disguised-Host", "WAS-Default-Hostname",
		"True-Client-*", "Akamai-*", "X-Akamai-*", "Ali-CDN-*", "DO-Connecting-IP", "Fastly-*", "Fly-*", "Incap-*", "X-NF-*", "X-Sucuri-*",
		"X-Vercel-*",

		// Meshes (Envoy and Istio; Linkerd; Dapr; Knative Serving).
		"X-Envoy-*", "X-Istio-*", "Sec-Istio-*", "L5D-*", "Dapr-*", "K-Network-*", "K-Original-*", "K-Proxy-*", "Knative-Serving-*",

		// Servers that hand over to an app (WebLogic proxy plug-ins; ASP.NET Core Module).
		"WL-Proxy-*", "MS-ASPNETCORE-*",

		// Between the parts of Next.js (INTERNAL_HEADERS of its server; CVE-2025-29927) and of
		// OpenNext. Browsers do send X-Nextjs-Data, RSC and Next-*.
		"X-Middleware-*", "X-Invoke-*", "X-Matched-Path", "X-Now-*", "X-Next-*", "X-Prerender-*", "Next-Resume", "X-OpenNext-*", "X-Open-Next-*",

		// Whose data, or in which role (Hasura; Mimir, Loki and Tempo; Thanos; Grafana to its data
		// sources; Argo CD proxy extensions; Kubeflow; Apache NiFi; Home Assistant; Posit).
		"X-Hasura-*", "X-Scope-*", "Thanos-Tenant", "X-Grafana-User", "X-Grafana-Id", "Argocd-*", "Kubeflow-*", "X-Proxied*", "X-Hass-*",
		"RStudio-*", "X-RStudio-*", "Shiny-*",
	}
}

// rules decide by lower-case names. A name with anything but letters, digits and dashes is dropped
// before it gets to them: apps see names through CGI, WSGI, PHP and others, which turn every
// separator into an underscore, so X_User and X.User would be X-User there.
type rules struct {
	exact map[string]fate
	// prefixes, by first byte, are sorted, and none begins with another: only the last one that is
	// not behind a name can be one of its prefixes.
	prefixes [256][]string
}

// newRules returns the rules that drop our fields and more.
func newRules(more []string) rules {
	r := rules{exact: map[string]fate{"cookie": cookies, "trailer": chunks}}
	for _, pattern := range slices.Concat(dropped(), more) {
		name := strings.ToLower(pattern)
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			r.prefixes[prefix[0]] = append(r.prefixes[prefix[0]], prefix)
		} else {
			r.exact[name] = drop
		}
	}
	for first, list := range r.prefixes {
		slices.Sort(list)
		kept := list[:0]
		for _, prefix := range list {
			if len(kept) == 0 || !strings.HasPrefix(prefix, kept[len(kept)-1]) {
				kept = append(kept, prefix)
			}
		}
		r.prefixes[first] = kept
	}
	return r
}

// CheckDropField returns an error unless pattern can be one of Config.DropFields.
func CheckDropField(pattern string) error {
	name := strings.TrimSuffix(pattern, "*")
	if name == "" {
		return fmt.Errorf("%q names no header", pattern)
	}
	for i := range len(name) {
		if lower(name[i]) == 0 {
			return fmt.Errorf("%q is no name of letters, digits and dashes, with or without * at its end; headers with other names never pass", pattern)
		}
	}
	return nil
}

// fate decides about one field name.
func (r *rules) fate(name string) fate {
	var mem [64]byte
	low := mem[:0]
	for i := range len(name) {
		c := lower(name[i])
		if c == 0 {
			return drop
		}
		low = append(low, c)
	}
	if f, ok := r.exact[string(low)]; ok {
		return f
	}
	list := r.prefixes[low[0]]
	behind := sort.Search(len(list), func(i int) bool { return list[i] > string(low) })
	if behind == 0 {
		return pass
	}
	if prefix := list[behind-1]; len(low) >= len(prefix) && string(low[:len(prefix)]) == prefix {
		return drop
	}
	return pass
}

// lower returns a letter in lower case, a digit or the dash, and 0 for any other byte.
func lower(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		return c
	}
	return 0
}
