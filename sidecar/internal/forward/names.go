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

// rules decide by normalized names: lower case, and every separator a dash. Apps see names through CGI, WSGI, PHP and
// others, which turn separators into underscores: whatever becomes the same name there is the same name here.
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
		norm, _ := normalize(make([]byte, 0, 64), name)
		r.exact[string(norm)] = drop
	}
	return r
}

// fate decides about one field name.
func (r *rules) fate(name string) fate {
	var mem [64]byte
	norm, plain := normalize(mem[:0], name)
	if !plain {
		return drop
	}
	if f, ok := r.exact[string(norm)]; ok {
		return f
	}
	for _, prefix := range r.prefixes[norm[0]] {
		if len(norm) >= len(prefix) && string(norm[:len(prefix)]) == prefix {
			return drop
		}
	}
	return pass
}

// normalize appends the normal form of name to dst. It is not plain if it contains an underscore: no name that
// matters does, and half of the servers cannot tell it from a dash.
func normalize(dst []byte, name string) (norm []byte, plain bool) {
	plain = true
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_':
			plain = false
			c = '-'
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst, plain
}
