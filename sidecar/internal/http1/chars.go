package http1

// isToken reports whether s is a token (RFC 9110 section 5.6.2), such as a method or field name.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return true
}

func isTokenByte(c byte) bool {
	// Two words with one bit per ASCII character: letters, digits and !#$%&'*+-.^_`|~
	const low = 0x3FF<<'0' | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	const high = 0x3FFFFFF<<('A'-64) | 0x3FFFFFF<<('a'-64) | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
	switch {
	case c < 64:
		return uint64(low)>>c&1 != 0
	case c < 128:
		return uint64(high)>>(c-64)&1 != 0
	}
	return false
}

// isFieldValue reports whether s is a valid field value (RFC 9110 section 5.5): no control
// characters except tab. Bytes above 127 are opaque and allowed. Every field passes through here,
// so it checks eight bytes at a time first.
func isFieldValue(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if mayHaveControl(s) && !isFieldValueBytes(s[:8]) {
			return false
		}
	}
	return isFieldValueBytes(s)
}

func isFieldValueBytes(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// mayHaveControl reports whether one of the first eight bytes is a control character. In x-ones*n
// the high bit of a byte is set if the byte was below n; &^x clears those that had it set before.
func mayHaveControl(s string) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	del := x ^ ones*0x7f
	return ((x-ones*' ')&^x|(del-ones)&^del)&high != 0
}

// equalFold compares ASCII case-insensitively. strings.EqualFold equates the Kelvin sign with k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// trimOWS removes optional white space (RFC 9110 section 5.6.3): spaces and tabs only.
func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

func unhex(c byte) (value byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
