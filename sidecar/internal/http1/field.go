package http1

import (
	"iter"
	"strings"
)

// Field is one header or trailer field. The name keeps the spelling it came with.
type Field struct{ Name, Value string }

// Header is a list of fields in the order they came. Names are compared without regard to case.
type Header []Field

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Values yields the values of name in their order.
func (h Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if equalFold(h[i].Name, name) && !yield(h[i].Value) {
				return
			}
		}
	}
}

// Tokens yields the elements of the comma-separated lists that are the values of name, trimmed, empty ones left out.
func (h Header) Tokens(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if !equalFold(h[i].Name, name) {
				continue
			}
			for element := range strings.SplitSeq(h[i].Value, ",") {
				if element = trimOWS(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// HasToken reports whether token is an element of the lists that are the values of name, without regard to case.
func (h Header) HasToken(name, token string) bool {
	for element := range h.Tokens(name) {
		if equalFold(element, token) {
			return true
		}
	}
	return false
}

// Del removes all fields called name.
func (h *Header) Del(name string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !equalFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	*h = kept
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Valid reports whether the field can be sent: it cannot end its line or smuggle another one.
func (f Field) Valid() bool { return isToken(f.Name) && isFieldValue(f.Value) }

// SameName reports whether two field names are the same.
func SameName(a, b string) bool { return equalFold(a, b) }

// parseFields reads the lines of a header or trailer section into h. Every line ends in LF (the reader of heads made
// sure of the CR before it). A folded line (RFC 9112 section 5.2) starts with white space, a space before the colon
// ends a name: neither is a token character, so both are refused with the names.
func parseFields(h Header, lines string, limit int) (Header, *Fault) {
	for lines != "" {
		end := strings.IndexByte(lines, '\n')
		line := lines[:end-1]
		lines = lines[end+1:]
		colon := strings.IndexByte(line, ':')
		if colon < 0 || !isToken(line[:colon]) {
			return h, errFieldName
		}
		value := trimOWS(line[colon+1:])
		if !isFieldValue(value) {
			return h, errFieldValue
		}
		if len(h) == limit {
			return h, errFieldCount
		}
		h = append(h, Field{line[:colon], value})
	}
	return h, nil
}
