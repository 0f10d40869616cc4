// Package extauthztest is a proxy's side of package extauthz, for tests: it encodes
// check requests, also wrong ones, and decodes the answers. hack/forwardauth tests the
// same with grpc-go and Envoy's own types.
package extauthztest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Path is the address of the only method.
const Path = "/envoy.service.auth.v3.Authorization/Check"

// Text encodes a field with a string, or an embedded message.
func Text[T string | []byte](n protowire.Number, value T) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), []byte(value))
}

// Number encodes a field with a number.
func Number(n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), value)
}

// Message concatenates fields.
func Message(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

// Request encodes a CheckRequest with these fields of its HttpRequest.
func Request(fields ...[]byte) []byte {
	return Text(1, Text(4, Text(2, Message(fields...))))
}

// Method encodes the method.
func Method(s string) []byte { return Text(2, s) }

// Target encodes the path.
func Target(s string) []byte { return Text(4, s) }

// Host encodes the host.
func Host(s string) []byte { return Text(5, s) }

// Header encodes an entry of headers.
func Header(name, value string) []byte { return Text(3, Message(Text(1, name), Text(2, value))) }

// Raw encodes header_map, with raw values, from names and values in turn.
func Raw(pairs ...string) []byte {
	var all []byte
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, Text(1, Message(Text(1, pairs[i]), Text(3, pairs[i+1])))...)
	}
	return Text(13, all)
}

// Frame puts gRPC's prefix before a message.
func Frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...) //nolint:gosec // small
}

// An Answer is a decoded CheckResponse.
type Answer struct {
	Code   uint64 // of gRPC, in the message
	Status int    // 200 for a request that passes
	// Header is what replaces fields of the request that passes, or the header of the
	// response to the client.
	Header  http.Header
	Removed []string
	// Added are the fields that are added to those of the response to the client.
	Added http.Header
	Body  string
}

// Client returns a client that speaks HTTP/2 without TLS.
func Client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// Call sends body to url, and returns the only message of the response, and the gRPC status.
func Call(t testing.TB, c *http.Client, url string, body io.Reader, header ...string) (message []byte, status string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Sprintf("HTTP %d", res.StatusCode)
	}
	if status = res.Trailer.Get("Grpc-Status"); status == "" {
		status = res.Header.Get("Grpc-Status")
	}
	if len(all) == 0 {
		return nil, status
	}
	if len(all) < 5 || all[0] != 0 || int(binary.BigEndian.Uint32(all[1:])) != len(all)-5 {
		t.Fatalf("response body %q, want one message", all)
	}
	return all[5:], status
}

// Decode decodes a CheckResponse.
func Decode(t testing.TB, message []byte) Answer {
	t.Helper()
	a := Answer{Header: http.Header{}, Added: http.Header{}}
	each(t, message, func(n int, content []byte, _ uint64) {
		switch n {
		case 1:
			each(t, content, func(_ int, _ []byte, code uint64) { a.Code = code })
		case 2:
			each(t, content, func(n int, content []byte, _ uint64) {
				switch n {
				case 1:
					each(t, content, func(_ int, _ []byte, status uint64) { a.Status = int(status) }) //nolint:gosec // three digits
				case 2:
					a.option(t, content, a.Header)
				case 3:
					a.Body = string(content)
				}
			})
		case 3:
			a.Status = http.StatusOK
			each(t, content, func(n int, content []byte, _ uint64) {
				switch n {
				case 2:
					a.option(t, content, a.Header)
				case 5:
					a.Removed = append(a.Removed, string(content))
				case 6:
					a.option(t, content, a.Header)
				}
			})
		}
	})
	return a
}

// option decodes a HeaderValueOption. It must say whether it replaces or adds.
func (a *Answer) option(t testing.TB, message []byte, replaced http.Header) {
	t.Helper()
	var name, value string
	adds, says := false, false
	each(t, message, func(n int, content []byte, _ uint64) {
		switch n {
		case 1:
			each(t, content, func(n int, content []byte, _ uint64) {
				if n == 1 {
					name = string(content)
				} else {
					value = string(content)
				}
			})
		case 2:
			says = true
			each(t, content, func(_ int, _ []byte, v uint64) { adds = v == 1 })
		}
	})
	switch {
	case !says:
		t.Errorf("header %s: no append, want true or false", name)
	case adds:
		a.Added.Add(name, value)
	case replaced.Get(name) != "":
		t.Errorf("header %s twice, want once", name)
	default:
		replaced.Set(name, value)
	}
}

func each(t testing.TB, message []byte, f func(n int, content []byte, number uint64)) {
	t.Helper()
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			t.Fatalf("no protobuf: %q", message)
		}
		message = message[size:]
		var content []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			content, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(message)
		default:
			size = -1
		}
		if size < 0 {
			t.Fatalf("no protobuf: %q", message)
		}
		message = message[size:]
		f(int(n), content, number)
	}
}
