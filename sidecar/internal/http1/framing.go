package http1

import "strconv"

// kind identifies the fields that this package acts on or that a request may carry only once.
type kind uint8

const (
	kindOther kind = iota
	kindConnection
	kindContentLength
	kindTransferEncoding
	kindHost
	kindExpect
	kindUpgrade
	// These must not repeat: the app might use another one of two values than the sidecar.
	kindAuthorization
	kindContentRange
	kindContentType
	kindOrigin
	kindReferer
	kindSecFetchDest
	kindSecFetchMode
	kindSecFetchSite
	kindSecFetchUser
	kindSecWebSocketKey
	kindSecWebSocketVersion
)

// kindOf classifies a field name. It switches on the length first: most names cost one jump.
func kindOf(name string) kind {
	switch len(name) {
	case 4:
		return pick(name, "host", kindHost)
	case 6:
		if k := pick(name, "expect", kindExpect); k != kindOther {
			return k
		}
		return pick(name, "origin", kindOrigin)
	case 7:
		if k := pick(name, "upgrade", kindUpgrade); k != kindOther {
			return k
		}
		return pick(name, "referer", kindReferer)
	case 10:
		return pick(name, "connection", kindConnection)
	case 12:
		return pick(name, "content-type", kindContentType)
	case 13:
		if k := pick(name, "authorization", kindAuthorization); k != kindOther {
			return k
		}
		return pick(name, "content-range", kindContentRange)
	case 14:
		if k := pick(name, "content-length", kindContentLength); k != kindOther {
			return k
		}
		return secFetch(name)
	case 17:
		if k := pick(name, "transfer-encoding", kindTransferEncoding); k != kindOther {
			return k
		}
		return pick(name, "sec-websocket-key", kindSecWebSocketKey)
	case 21:
		return pick(name, "sec-websocket-version", kindSecWebSocketVersion)
	}
	return kindOther
}

func secFetch(name string) kind {
	if !equalFold(name[:10], "sec-fetch-") {
		return kindOther
	}
	switch rest := name[10:]; {
	case equalFold(rest, "dest"):
		return kindSecFetchDest
	case equalFold(rest, "mode"):
		return kindSecFetchMode
	case equalFold(rest, "site"):
		return kindSecFetchSite
	case equalFold(rest, "user"):
		return kindSecFetchUser
	}
	return kindOther
}

func pick(name, want string, k kind) kind {
	if equalFold(name, want) {
		return k
	}
	return kindOther
}

// framing is what the header says about the length of the body and the connection.
type framing struct {
	length     int64 // of the body, when hasLength
	hasLength  bool
	chunked    bool
	close      bool // Connection: close
	keepAlive  bool // Connection: keep-alive
	upgrade    bool // Connection: upgrade
	hostAt     int  // index of the Host field; -1 if absent
	expectAt   int  // index of the Expect field; -1 if absent
	upgradesAt int  // index of the Upgrade field; -1 if absent
	repeated   kind // a kind that occurred more than once
}

// readFraming derives the framing from all fields together (RFC 9112 section 6.3). It is stricter
// than the RFC, which lets a recipient repair some invalid combinations.
func readFraming(h Header, minor int) (framing, *Fault) {
	f := framing{hostAt: -1, expectAt: -1, upgradesAt: -1}
	var seen uint32
	for i := range h {
		k := kindOf(h[i].Name)
		if k == kindOther {
			continue
		}
		if k == kindConnection {
			f.readConnection(h[i].Value)
			continue
		}
		if seen&(1<<k) != 0 {
			f.repeated = k
			if k == kindContentLength || k == kindTransferEncoding {
				return f, errRepeated
			}
		}
		seen |= 1 << k
		switch k {
		case kindContentLength:
			n, ok := parseLength(h[i].Value)
			if !ok {
				return f, errContentLength
			}
			f.length, f.hasLength = n, true
		case kindTransferEncoding:
			if !equalFold(h[i].Value, "chunked") {
				return f, errCoding
			}
			f.chunked = true
		case kindHost:
			f.hostAt = i
		case kindExpect:
			f.expectAt = i
		case kindUpgrade:
			f.upgradesAt = i
		}
	}
	switch {
	case f.chunked && f.hasLength:
		return f, errFraming
	case f.chunked && minor == 0:
		return f, errCoding10
	}
	return f, nil
}

func (f *framing) readConnection(value string) {
	if value == "keep-alive" { // the most common value, without the cost of a list
		f.keepAlive = true
		return
	}
	for token := range (Header{{"", value}}).Tokens("") {
		switch {
		case equalFold(token, "close"):
			f.close = true
		case equalFold(token, "keep-alive"):
			f.keepAlive = true
		case equalFold(token, "upgrade"):
			f.upgrade = true
		}
	}
}

// persistent reports whether the sender keeps the connection open (RFC 9112 section 9.3).
func (f *framing) persistent(minor int) bool {
	return !f.close && (minor == 1 || f.keepAlive)
}

// parseLength accepts digits only: no sign, list or white space, and no number that could overflow.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
