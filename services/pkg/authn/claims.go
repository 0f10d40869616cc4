package authn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxName limits sub and sid. OpenID Connect Core section 2 limits sub to 255 ASCII characters.
	maxName = 255
	// maxDate is the last second of the year 9999, far below the overflow of time arithmetic.
	maxDate = 253402300799
)

// claims is the payload of an access token. It implements jwt.Claims and jwt.ClaimsValidator.
type claims struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  jwt.ClaimStrings `json:"aud"`
	Expires   date             `json:"exp"`
	NotBefore date             `json:"nbf"`
	IssuedAt  date             `json:"iat"`
	SessionID string           `json:"sid"`
	Roles     roles            `json:"roles"`
	AuthTime  date             `json:"auth_time"`
}

func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.Expires.NumericDate, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore.NumericDate, nil }

func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return c.IssuedAt.NumericDate, nil }

// Validate checks what the library does not.
func (c *claims) Validate() error {
	switch {
	case c.Expires.NumericDate == nil || c.IssuedAt.NumericDate == nil || c.AuthTime.NumericDate == nil:
		return errors.New("exp, iat or auth_time is missing")
	case c.Expires.Sub(c.IssuedAt.Time) > MaxLife:
		return fmt.Errorf("exp is more than %s after iat", MaxLife)
	case c.AuthTime.After(c.IssuedAt.Add(Leeway)):
		return errors.New("auth_time is after iat")
	case !isName(c.Subject) || !isName(c.SessionID):
		return fmt.Errorf("sub or sid is not 1 to %d visible ASCII characters", maxName)
	}
	return nil
}

// isName reports whether s can be a subject or a session ID.
func isName(s string) bool {
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, invisible)
}

// A date is a NumericDate (RFC 7519 section 2). The issuer writes whole seconds since 1970, so
// nothing else is accepted.
type date struct{ *jwt.NumericDate }

func (d *date) UnmarshalJSON(text []byte) error {
	seconds, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return errors.New("not a date in whole seconds")
	}
	d.NumericDate = jwt.NewNumericDate(time.Unix(seconds, 0))
	return nil
}

// roles is a list of strings. Empty ones are refused, because encoding/json decodes null to an
// empty string.
type roles []string

func (r *roles) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, (*[]string)(r)); err != nil || *r == nil || slices.Contains(*r, "") {
		return errors.New("not a list of roles")
	}
	return nil
}

// checkNames refuses a JSON object that two parsers may read differently: with invalid UTF-8, or
// with member names that are not unique. It allows only names of lower case letters, digits and
// underscores, as the issuer writes them, so that none differ only in case or escapes. text must be
// valid JSON.
func checkNames(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("invalid UTF-8")
	}
	seen := make(map[string]bool)
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			start := i + 1
			for i = start; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth != 1 || !bytes.HasPrefix(bytes.TrimLeft(text[i+1:], " \t\r\n"), []byte(":")) {
				continue // not the name of a member of this object
			}
			name := string(text[start:i])
			if seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				return fmt.Errorf("name %q is used twice or not allowed", name)
			}
			seen[name] = true
		}
	}
	return nil
}
