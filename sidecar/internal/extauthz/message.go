package extauthz

import (
	"errors"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"lilypad.example/sidecar/internal/http1"
)

// A Check is a proxy's question about a request of its client.
type Check struct {
	Method string
	Target string       // path and query, as the client sent them
	Host   string       // the client's Host or :authority
	Header http1.Header // without pseudo-header fields and Host
}

// An Answer says what the proxy does with the request.
type Answer struct {
	Pass bool
	// Set and Remove change the request if it passes. A field in Set replaces all of its
	// name.
	Set    http1.Header
	Remove []string
	// Status, Header and Body are the response to the client unless the request passes.
	Status int
	Header http1.Header
	Body   []byte
	// SetCookies are added to the response to the client in either case.
	SetCookies []string
}

// Limits bound the header of a client's request.
type Limits struct {
	Fields int // number of fields
	Bytes  int // of names and values
}

// Faults of a check request.
var (
	// ErrTooLarge is returned for a header beyond the Limits, or a message beyond the limit
	// for messages.
	ErrTooLarge = errors.New("the request's header is too large")

	errWire      = errors.New("it is not an envoy.service.auth.v3.CheckRequest")
	errRepeated  = errors.New("a field that may occur only once is repeated")
	errText      = errors.New("a string is not UTF-8")
	errNoRequest = errors.New("it names no HTTP method, path and host")
	errParts     = errors.New("query and fragment must be part of the path")
	errTwice     = errors.New("its attributes and its header name different requests")
	errField     = errors.New("a header field is malformed")
	errAltered   = errors.New("the path has an exclamation mark, with which Envoy replaces bytes that are not UTF-8: set encode_raw_headers")
)

// Field numbers, from envoy/service/auth/v3/external_auth.proto,
// envoy/service/auth/v3/attribute_context.proto and envoy/config/core/v3/base.proto.
const (
	checkRequestAttributes = 1
	attributesRequest      = 4
	requestHTTP            = 2

	httpMethod    = 2
	httpHeaders   = 3 // map<string, string>
	httpPath      = 4
	httpHost      = 5
	httpScheme    = 6
	httpQuery     = 7
	httpFragment  = 8
	httpHeaderMap = 13

	headerMapHeaders = 1
	valueKey         = 1 // the same in an entry of a map
	valueText        = 2
	valueRaw         = 3
)

// parse reads a CheckRequest. Of the fields that it knows, it accepts each only once;
// protobuf takes the last one. It skips the fields that it does not know.
func parse(message []byte, lim Limits) (*Check, error) {
	for _, number := range []protowire.Number{checkRequestAttributes, attributesRequest, requestHTTP} {
		var inner []byte
		var seen once
		err := scan(message, func(n protowire.Number, value []byte) (bool, error) {
			if n != number {
				return false, nil
			}
			inner = value
			return true, seen.add(n)
		})
		if err != nil {
			return nil, err
		}
		message = inner
	}
	p := parser{lim: lim}
	if err := scan(message, p.http); err != nil {
		return nil, err
	}
	return p.check()
}

// parser reads an AttributeContext.HttpRequest.
type parser struct {
	lim    Limits
	seen   once
	c      Check
	scheme string
	rest   string // query and fragment, which Envoy leaves empty
	pseudo http1.Header
	plain  bool // the header is a map of strings
	raw    bool // the header has the bytes that the client sent
	bytes  int
}

func (p *parser) http(n protowire.Number, value []byte) (known bool, err error) {
	switch n {
	case httpMethod:
		p.c.Method = string(value)
	case httpPath:
		p.c.Target = string(value)
	case httpHost:
		p.c.Host = string(value)
	case httpScheme:
		p.scheme = string(value)
	case httpQuery, httpFragment:
		p.rest += string(value)
	case httpHeaders:
		p.plain = true
		return true, p.entry(value)
	case httpHeaderMap:
		p.raw = true
		if err := p.seen.add(n); err != nil {
			return true, err
		}
		return true, scan(value, func(n protowire.Number, value []byte) (bool, error) {
			if n != headerMapHeaders {
				return false, nil
			}
			return true, p.headerValue(value)
		})
	default:
		return false, nil
	}
	if !utf8.Valid(value) {
		return true, errText
	}
	return true, p.seen.add(n)
}

// entry reads an entry of the map of header fields.
func (p *parser) entry(entry []byte) error {
	key, text, raw, err := keyAndValue(entry)
	switch {
	case err != nil:
		return err
	case raw != "":
		return errWire
	case has(p.c.Header, key) || has(p.pseudo, key):
		return errRepeated // in a map
	}
	return p.field(key, text)
}

// headerValue reads a HeaderValue. Its raw_value has the client's bytes, which need
// not be UTF-8. Strings of a CheckResponse must be, so each other byte is replaced, as
// Envoy does it in the map of strings.
func (p *parser) headerValue(message []byte) error {
	key, text, raw, err := keyAndValue(message)
	switch {
	case err != nil:
		return err
	case text != "" && raw != "":
		return errTwice
	case raw != "" && !strings.HasPrefix(key, ":"):
		text = strings.ToValidUTF8(raw, "!")
	case raw != "":
		text = raw
	}
	return p.field(key, text)
}

// keyAndValue reads an entry of a map, or a HeaderValue.
func keyAndValue(message []byte) (key, text, raw string, err error) {
	var seen once
	err = scan(message, func(n protowire.Number, value []byte) (bool, error) {
		switch n {
		case valueKey:
			key = string(value)
		case valueText:
			text = string(value)
		case valueRaw:
			raw = string(value)
			return true, seen.add(n)
		default:
			return false, nil
		}
		if !utf8.Valid(value) {
			return true, errText
		}
		return true, seen.add(n)
	})
	return key, text, raw, err
}

func (p *parser) field(name, value string) error {
	p.bytes += len(name) + len(value)
	if p.bytes > p.lim.Bytes || len(p.c.Header)+len(p.pseudo) >= p.lim.Fields {
		return ErrTooLarge
	}
	f := http1.Field{Name: name, Value: value}
	if strings.HasPrefix(name, ":") || http1.SameName(name, "Host") {
		p.pseudo = append(p.pseudo, f)
		return nil
	}
	if !f.Valid() {
		return errField
	}
	p.c.Header = append(p.c.Header, f)
	return nil
}

func has(h http1.Header, name string) bool {
	for range h.Values(name) {
		return true
	}
	return false
}

// check checks what concerns several fields.
func (p *parser) check() (*Check, error) {
	c := &p.c
	if c.Method == "" || c.Target == "" || !http1.IsHost(c.Host) {
		return nil, errNoRequest
	}
	if p.rest != "" {
		return nil, errParts
	}
	if p.plain && p.raw {
		return nil, errTwice
	}
	rawPath := false
	for _, f := range p.pseudo {
		want := ""
		switch f.Name {
		case ":method":
			want = c.Method
		case ":path":
			want, rawPath = c.Target, p.raw
		case ":authority":
			want = c.Host
		case ":scheme":
			want = p.scheme
		default:
			if http1.SameName(f.Name, "Host") {
				want = c.Host
			}
		}
		if f.Value != want {
			return nil, errTwice
		}
	}
	// Envoy puts it in the place of each byte that is not UTF-8. The upstream gets these
	// bytes, and http1 refuses them.
	if path, _, _ := strings.Cut(c.Target, "?"); !rawPath && strings.Contains(path, "!") {
		return nil, errAltered
	}
	return c, nil
}

// scan calls put for each field of a message, with its content if that is
// length-delimited. put reports whether it knows the field; such a field must be
// length-delimited.
func scan(message []byte, put func(n protowire.Number, value []byte) (known bool, err error)) error {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return errWire
		}
		message = message[size:]
		if size = protowire.ConsumeFieldValue(n, kind, message); size < 0 {
			return errWire
		}
		var value []byte
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(message)
		}
		known, err := put(n, value)
		if err != nil {
			return err
		}
		if known && kind != protowire.BytesType {
			return errWire
		}
		message = message[size:]
	}
	return nil
}

// once is a set of field numbers below 64.
type once uint64

// add adds n. It fails if n is in the set already.
func (o *once) add(n protowire.Number) error {
	if *o&(1<<n) != 0 {
		return errRepeated
	}
	*o |= 1 << n
	return nil
}

// More field numbers, and codes of google.rpc.Status.
const (
	responseStatus = 1
	responseDenied = 2
	responseOK     = 3

	statusCode       = 1
	permissionDenied = 7

	deniedStatus   = 1
	deniedHeaders  = 2
	deniedBody     = 3
	httpStatusCode = 1

	okHeaders         = 2
	okRemove          = 5
	okResponseHeaders = 6

	optionHeader = 1
	optionAppend = 2
	boolValue    = 1
)

// appendAnswer appends a as a CheckResponse.
func appendAnswer(dst []byte, a *Answer) []byte {
	if a.Pass {
		var ok []byte
		for _, f := range a.Set {
			ok = appendOption(ok, okHeaders, f, false)
		}
		for _, name := range a.Remove {
			ok = appendText(ok, okRemove, strings.ToLower(name))
		}
		for _, value := range a.SetCookies {
			ok = appendOption(ok, okResponseHeaders, http1.Field{Name: "Set-Cookie", Value: value}, true)
		}
		return appendMessage(appendMessage(dst, responseStatus, nil), responseOK, ok)
	}
	denied := appendMessage(nil, deniedStatus, appendNumber(nil, httpStatusCode, uint64(a.Status))) //nolint:gosec // three digits
	for _, f := range a.Header {
		denied = appendOption(denied, deniedHeaders, f, false)
	}
	for _, value := range a.SetCookies {
		denied = appendOption(denied, deniedHeaders, http1.Field{Name: "Set-Cookie", Value: value}, true)
	}
	denied = appendText(denied, deniedBody, string(a.Body))
	dst = appendMessage(dst, responseStatus, appendNumber(nil, statusCode, permissionDenied))
	return appendMessage(dst, responseDenied, denied)
}

// appendOption appends a HeaderValueOption. Its append is always there: without it, some
// releases of Envoy replace the fields of that name, and others add to them.
func appendOption(dst []byte, n protowire.Number, f http1.Field, add bool) []byte {
	value := appendText(appendText(nil, valueKey, strings.ToLower(f.Name)), valueText, f.Value)
	var appends []byte
	if add {
		appends = appendNumber(nil, boolValue, 1)
	}
	return appendMessage(dst, n, appendMessage(appendMessage(nil, optionHeader, value), optionAppend, appends))
}

func appendMessage(dst []byte, n protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), message)
}

// appendText appends a string, which must be UTF-8: Envoy could not parse the answer.
func appendText(dst []byte, n protowire.Number, s string) []byte {
	return appendMessage(dst, n, []byte(strings.ToValidUTF8(s, "!")))
}

func appendNumber(dst []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, n, protowire.VarintType), v)
}
