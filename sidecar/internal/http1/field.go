package http1

import (
	"iter"
	"strings"
)

// Field is one header or trailer field. The name keeps its spelling.
type Field struct{ Name, Value string }

// Header is a list of fields in order of arrival. Names are compared case-insensitively.
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

// Values yields the values of name in order.
func (h Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if equalFold(h[i].Name, name) && !yield(h[i].Value) {
				return
			}
		}
	}
}

// Tokens yields the elements of the comma-separated lists in the values of name. Elements are
// trimmed, empty ones are skipped.
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

// HasToken reports whether token is among the Tokens of name, case-insensitively.
func (h Header) HasToken(name, token string) bool {
	for element := range h.Tokens(name) {
		if equalFold(element, token) {
			return true
		}
	}
	return false
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Valid reports whether the field can be sent without ending its line or adding another field.
func (f Field) Valid() bool { return isToken(f.Name) && isFieldValue(f.Value) }

// SameName reports whether two field names are equal, case-insensitively.
func SameName(a, b string) bool { return equalFold(a, b) }

// parseFields appends the fields of a header or trailer section to h. Every line ends in CRLF,
// which Reader.head has checked. Folded lines (RFC 9112 section 5.2) and white space before the
// colon are refused because white space is not a token character.
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
