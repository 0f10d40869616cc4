package forward

import (
	"cmp"

	"lilypad.example/sidecar/internal/http1"
)

// writeHead writes the request head for the upstream, without its end.
func (c *conn) writeHead(x *http1.Exchange, edit *RequestEdit) {
	f, q, w := c.up.f, &x.Request, c.w
	w.Start()
	w.Text(q.Method, " ", cmp.Or(edit.Target, q.Target), " HTTP/1.1\r\n")
	w.Field("Host", q.Host)
	names := namesFields(q.Header)
	for _, field := range q.Header {
		if has(edit.Fields, field.Name) || names && q.Header.HasToken("Connection", field.Name) {
			continue
		}
		switch c.up.rules.fate(field.Name) {
		case drop:
		case pass:
			w.Field(field.Name, field.Value)
		case cookies:
			w.Append(func(b []byte) []byte { return appendCookies(b, field.Name, field.Value, f.cookies) })
		case chunks:
			if q.Body.Length() == http1.Unknown {
				w.Field(field.Name, field.Value)
			}
		}
	}
	c.inject(x, edit)
	// Hop-by-hop fields (RFC 9110 section 7.6.1).
	switch {
	case q.WebSocket():
		w.Text("Connection: Upgrade\r\nUpgrade: websocket\r\n")
	case q.Header.HasToken("TE", "trailers"):
		w.Text("Connection: TE\r\nTE: trailers\r\n")
	}
	if q.Expects() {
		w.Text("Expect: 100-continue\r\n")
	}
}

// inject adds the sidecar's fields. writeHead has already removed the client's fields of these
// names, and the client's Connection field does not apply to them.
func (c *conn) inject(x *http1.Exchange, edit *RequestEdit) {
	w := c.w
	client := &edit.Client
	w.Field("X-Forwarded-For", client.IP)
	w.Field("X-Forwarded-Proto", client.Proto)
	w.Field("X-Forwarded-Host", client.Host)
	w.Field("X-Forwarded-Port", client.port())
	if edit.Prefix != "" {
		w.Field("X-Forwarded-Prefix", edit.Prefix)
	}
	if edit.RequestID != "" {
		w.Field("X-Request-Id", edit.RequestID)
	} else {
		w.Field("X-Request-Id", x.ID())
	}
	if edit.Authorization != "" {
		w.Field("Authorization", edit.Authorization)
	}
	for _, field := range edit.Fields {
		w.Field(field.Name, field.Value)
	}
}

// endHead ends the head. POST, PUT and PATCH announce an empty body too (RFC 9110 section 8.6).
func (c *conn) endHead(q *http1.Request) {
	switch {
	case !q.Body.Empty():
		c.w.EndHead(q.Body.Length())
	case q.Method == "POST" || q.Method == "PUT" || q.Method == "PATCH":
		c.w.EndHead(0)
	default:
		c.w.EndHeadBare()
	}
}

// requestTrailer applies the rules for header fields to the trailer.
func (c *conn) requestTrailer(q *http1.Request) http1.Header {
	var kept http1.Header
	for _, field := range q.Body.Trailer() {
		if c.up.rules.fate(field.Name) == pass {
			kept = append(kept, field)
		}
	}
	return kept
}

// namesFields reports whether Connection lists anything but the usual options, so that it must be
// compared with each field name.
func namesFields(h http1.Header) bool {
	for token := range h.Tokens("Connection") {
		switch len(token) {
		case 2, 5, 7, 10:
			if http1.SameName(token, "te") || http1.SameName(token, "close") ||
				http1.SameName(token, "upgrade") || http1.SameName(token, "keep-alive") {
				continue
			}
		}
		return true
	}
	return false
}

func has(list []http1.Field, name string) bool {
	for i := range list {
		if http1.SameName(list[i].Name, name) {
			return true
		}
	}
	return false
}
