package forward

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// fate is what happens to a request field.
type fate uint8

const (
	pass    fate = iota
	drop         // removed
	cookies      // passes without the sidecar's cookies
	chunks       // passes if the body is chunked
)

// dropped returns the request fields from which an app, or a server or library below it, may learn
// who the client is, where it is, or what it requested. Whatever stands in front of the app must
// set or remove them; here that is the sidecar. Each group cites the documentation it was taken
// from. A trailing * matches any suffix.
func dropped() []string {
	return []string{
		// Hop-by-hop fields, which the sidecar sets itself (RFC 9110, sections 7.6.1, 7.8 and
		// 10.1.1; RFC 9112, section 6; RFC 7540, section 3.2.1), and RFC 2965's Cookie2, with which
		// some servers parse Cookie differently.
		"Connection", "Keep-Alive", "TE", "Upgrade", "Transfer-Encoding", "Content-Length", "Host", "Expect", "HTTP2-Settings", "Cookie2",

		// The sidecar's own, and credentials: the app receives the sidecar's access token or none.
		// Proxy is httpoxy (CVE-2016-5385).
		"Lilypad-*", "X-Lilypad-*", "X-Request-Id", "Authorization", "Proxy", "Proxy-*", "X-Proxy*",

		// Origin of the request (RFC 7239; MDN on X-Forwarded-*; Rails ActionDispatch::RemoteIp;
		// gunicorn secure_scheme_headers; the lists of security scanners).
		"Forwarded*", "X-Forward*", "X-Real-*", "X-RealIP", "Real-IP", "X-Originating-*", "Client-IP", "X-Client-IP*", "X-ClientIP",
		"X-Cluster-Client-*", "X-True-*", "X-Source-IP", "X-Custom-IP-*", "X-Remote*", "Remote-*", "X-Scheme", "X-Url-Scheme", "X-Https",
		"Front-End-Https",

		// Overrides of the method, host or path that was authorized (Rack::MethodOverride; Symfony,
		// Laravel; Laminas and IIS ARR on X-Original-URL and X-Rewrite-URL; Traefik ReplacePath;
		// Flask and gunicorn on the script name; Home Assistant).
		"X-HTTP-*", "X-Method-Override", "X-Host*", "X-Original*", "X-Rewrite*", "X-Override-*", "X-Replaced-*", "X-Script-Name", "Script-Name",
		"Path-Info", "X-Base-Url", "Base-Url", "X-Uri", "Uri", "X-Url", "Url", "Http-Url", "X-Request-Uri", "Request-Uri", "X-Context-Path",
		"X-Ingress-*",

		// Files that the web server sends on behalf of the app (Rack::Sendfile, CVE-2025-61780;
		// nginx X-Accel).
		"X-Sendfile*", "X-Accel-*",

		// Client certificates (RFC 9440; ingress-nginx; HAProxy; IIS ARR; F5 BIG-IP iRules). More
		// are listed under platforms.
		"Client-Cert*", "Client-Verify", "X-Client-Cert*", "X-Client-CN", "X-Client-DN*", "X-Client-Verify*", "X-Client-Subject*",
		"X-SSL-*", "SSL-*", "SSLClientCert*", "X-TLS-*", "X-ARR-*",

		// User names in common use: CGI's REMOTE_USER and AUTH_TYPE (RFC 3875), Authelia
		// (Remote-*), oauth2-proxy (X-Auth-Request-*, GAP-*), Grafana and Gitea (X-WebAuth-*),
		// Symfony (X-Switch-User), OpenStack keystonemiddleware.
		"User", "User-ID", "UserID", "User-Name", "Username", "User-Email", "User-Role*", "User-Group*", "X-User*", "X-UID", "X-Sub",
		"X-Subject*", "X-Email*", "X-Mail", "X-Login*", "X-Name-ID", "X-Role*", "X-Group*", "X-Entitlement*", "X-Claim*", "X-Identity*",
		"X-Principal*", "X-Admin*", "X-Is-Admin*", "X-Switch-User", "X-Auth*", "Auth-*", "Authenticated-*", "X-WebAuth-*", "GAP-*", "X-SSO-*",
		"SSO-*",

		// Tokens added by gateways (WSO2; Kong; Google API Gateway and Cloud Endpoints; APISIX).
		"X-JWT*", "X-Access-Token*", "X-ID-Token*", "X-Token-Subject*", "X-Endpoint-API-UserInfo", "X-Apigateway-Api-UserInfo", "X-OIDC-*",

		// Impersonation (Kubernetes: user impersonation, and aggregation with X-Remote-*; GitLab;
		// Elasticsearch; Trino).
		"Impersonat*", "X-Impersonat*", "Sudo", "X-Sudo*", "Run-As*", "X-Run-As*", "On-Behalf-Of*", "X-On-Behalf-Of*", "X-Act-As*", "X-Acting-*",
		"ES-Security-*", "X-Trino-User", "X-Trino-Original-User", "X-Presto-User",

		// Access managers (Broadcom SiteMinder; IBM WebSEAL; Oracle Access Manager and OSSO; RSA
		// ClearTrust; PingFederate agents).
		"SM-*", "SMUser", "IV-*", "AM-EAI-*", "OAM-*", "OSSO-*", "CT-Remote-User", "PF-Auth-*",

		// Apache httpd modules (Shibboleth SP with ShibUseHeaders and the names of its
		// attribute-map.xml; mod_auth_mellon; mod_auth_openidc; mod_auth_cas).
		"Shib-*", "EPPN", "Affiliation", "Unscoped-Affiliation", "Primary-Affiliation", "Entitlement", "Assurance", "Subject-Id", "Pairwise-Id",
		"Persistent-Id", "Targeted-Id", "EduPerson*", "Mail", "UID", "CN", "SN", "GivenName", "DisplayName", "IsMemberOf", "Member",
		"EmployeeNumber", "Mellon-*", "OIDC-*", "CAS-*",

		// Authenticating proxies (Vouch; authentik; Pomerium; Tailscale Serve; Cloudflare,
		// including Access; Kong; Tyk; Teleport).
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

		// Service meshes (Envoy and Istio; Linkerd; Dapr; Knative Serving).
		"X-Envoy-*", "X-Istio-*", "Sec-Istio-*", "L5D-*", "Dapr-*", "K-Network-*", "K-Original-*", "K-Proxy-*", "Knative-Serving-*",

		// Application server front ends (WebLogic proxy plug-ins; ASP.NET Core Module).
		"WL-Proxy-*", "MS-ASPNETCORE-*",

		// Internal fields of Next.js (INTERNAL_HEADERS of its server; CVE-2025-29927) and of
		// OpenNext. X-Nextjs-Data, RSC and Next-* are not internal: browsers send them.
		"X-Middleware-*", "X-Invoke-*", "X-Matched-Path", "X-Now-*", "X-Next-*", "X-Prerender-*", "Next-Resume", "X-OpenNext-*", "X-Open-Next-*",

		// Tenants and roles (Hasura; Mimir, Loki and Tempo; Thanos; Grafana to its data sources;
		// Argo CD proxy extensions; Kubeflow; Apache NiFi; Home Assistant; Posit).
		"X-Hasura-*", "X-Scope-*", "Thanos-Tenant", "X-Grafana-User", "X-Grafana-Id", "Argocd-*", "Kubeflow-*", "X-Proxied*", "X-Hass-*",
		"RStudio-*", "X-RStudio-*", "Shiny-*",
	}
}

// rules decide by lower-case field names. Names with anything but letters, digits and dashes are
// dropped first: through CGI, WSGI, PHP and others, apps see every separator as an underscore, so
// that X_User and X.User would be taken for X-User.
type rules struct {
	exact map[string]fate
	// prefixes holds sorted lists by first byte. No prefix begins with another one, so only the
	// last one that does not sort after a name can be its prefix.
	prefixes [256][]string
}

// newRules returns rules that drop the fields of dropped and of more.
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

// CheckDropField returns an error unless pattern is valid in Config.DropFields.
func CheckDropField(pattern string) error {
	name := strings.TrimSuffix(pattern, "*")
	if name == "" {
		return fmt.Errorf("%q is not a header name", pattern)
	}
	for i := range len(name) {
		if lower(name[i]) == 0 {
			return fmt.Errorf("%q must consist of letters, digits and dashes, with an optional trailing *; headers with other names are always removed", pattern)
		}
	}
	return nil
}

// CheckOwnedField returns an error unless the sidecar may set the field in RequestEdit.Fields.
func CheckOwnedField(name string) error {
	if strings.HasSuffix(name, "*") || CheckDropField(name) != nil {
		return fmt.Errorf("%q must consist of letters, digits and dashes", name)
	}
	low := strings.ToLower(name)
	for _, taken := range []string{
		"connection", "keep-alive", "te", "trailer", "upgrade", "transfer-encoding", "content-*", "host", "expect", "http2-settings", "cookie", "cookie2",
		"origin", "referer", "sec-*", "lilypad-*", "x-lilypad-*", "x-request-id", "proxy", "proxy-*", "authorization", "forwarded",
		"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip",
	} {
		if prefix, ok := strings.CutSuffix(taken, "*"); low == taken || ok && strings.HasPrefix(low, prefix) {
			return fmt.Errorf("%q is set by the sidecar or has a meaning of its own", name)
		}
	}
	return nil
}

// fate returns what happens to the field of a name.
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
