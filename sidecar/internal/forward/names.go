package forward

import "strings"

// fate is what becomes of a client's request field.
type fate uint8

const (
	pass   fate = iota
	drop        // never passes
	cookie      // passes without our cookies
	chunks      // passes with a chunked body
)

// rules decide by lower-case names. A name with anything but letters, digits and dashes is dropped before it gets to
// them: apps see names through CGI, WSGI, PHP and others, which turn every separator into an underscore, so X_User and
// X.User would be X-User there.
type rules struct {
	exact    map[string]fate
	prefixes map[byte][]string // by first letter
}

func newRules(more []string) rules {
	r := rules{exact: make(map[string]fate), prefixes: make(map[byte][]string)}
	for name := range strings.FieldsSeq(`
		connection keep-alive te upgrade transfer-encoding content-length host expect http2-settings
		authorization proxy forwarded x-request-id remote-user
		client-ip true-client-ip cf-connecting-ip cf-connecting-ipv6 cf-pseudo-ipv4 cf-ipcountry cf-visitor
		fastly-client-ip x-client-ip x-cluster-client-ip x-client-cert x-client-dn x-client-verify
		x-http-method x-method-override x-http-host-override x-host x-original x-scheme x-url-scheme
		user username user-id x-uid x-sub x-realip x-email x-role x-roles x-group x-groups x-identity x-principal x-subject x-jwt-assertion
		x-access-token x-id-token x-middleware-subrequest front-end-https`) {
		r.exact[name] = drop
	}
	r.exact["cookie"] = cookie
	r.exact["trailer"] = chunks
	// Whole families, of the proxies and gateways that pass an identity or a route this way.
	for prefix := range strings.FieldsSeq(`
		proxy- x-proxy x-forward auth- x-real- x-user x-auth x-remote- remote- x-original- x-originating- x-rewrite-
		x-http-method- x-envoy- x-ssl- ssl-client- x-tls-client- lilypad- x-lilypad-
		x-webauth- x-authentik- x-pomerium- x-consumer- x-credential- x-token-subject tailscale-user- tailscale-
		x-amzn-oidc- x-goog-authenticated- x-goog-iap- x-ms-client-principal x-ms-token- cf-access-
		x-middleware- x-invoke-`) {
		r.prefixes[prefix[0]] = append(r.prefixes[prefix[0]], prefix)
	}
	for _, name := range more {
		r.exact[strings.ToLower(name)] = drop
	}
	return r
}

// fate decides about one field name.
func (r *rules) fate(name string) fate {
	var mem [64]byte
	low := mem[:0]
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-':
			return drop
		}
		low = append(low, c)
	}
	if f, ok := r.exact[string(low)]; ok {
		return f
	}
	for _, prefix := range r.prefixes[low[0]] {
		if len(low) >= len(prefix) && string(low[:len(prefix)]) == prefix {
			return drop
		}
	}
	return pass
}
