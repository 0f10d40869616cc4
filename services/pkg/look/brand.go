package look

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Brand is how an application presents itself on the pages: every field is optional.
type Brand struct {
	// Name replaces the name of the product.
	Name string `json:"name,omitempty"`
	// Logo is the path of an image of the application, which strangers must be able to load.
	Logo string `json:"logo,omitempty"`
	// Color is the color of buttons, as #rrggbb. Colors of text and links are derived from it.
	Color string `json:"color,omitempty"`
	// Links are shown at the end of each page.
	Links []Link `json:"links,omitempty"`
}

// A Link is a link to a page of the application, or to another site by https.
type Link struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

const (
	maxName  = 40 // characters
	maxLinks = 6
	maxURL   = 300 // bytes
)

// Check returns all faults of b, joined. Each names its field.
func (b Brand) Check() error {
	var faults []error
	if !line(b.Name, maxName) {
		faults = append(faults, fmt.Errorf("brand.name must be one line of at most %d characters", maxName))
	}
	if b.Logo != "" && !isPath(b.Logo) {
		faults = append(faults, fmt.Errorf("brand.logo %q must be a path of the application, such as /static/logo.svg", b.Logo))
	}
	if _, err := parseColor(b.Color); b.Color != "" && err != nil {
		faults = append(faults, fmt.Errorf("brand.color %q must be six hexadecimal digits after #, such as %s", b.Color, ownColor))
	}
	if len(b.Links) > maxLinks {
		faults = append(faults, fmt.Errorf("brand.links has %d entries, %d at most", len(b.Links), maxLinks))
	}
	for i, l := range b.Links {
		if l.Text == "" || !line(l.Text, maxName) {
			faults = append(faults, fmt.Errorf("brand.links[%d].text must be one line of 1 to %d characters", i, maxName))
		}
		if !isLink(l.URL) {
			faults = append(faults, fmt.Errorf("brand.links[%d].url %q must be a path, such as /help, or an https URL", i, l.URL))
		}
	}
	return errors.Join(faults...)
}

// line reports whether s is one line of at most n characters.
func line(s string, n int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= n && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
	})
}

// isPath reports whether s is an absolute path of the page's own origin, without a query. It allows
// only characters that no parser treats specially.
func isPath(s string) bool {
	if len(s) > maxURL || !strings.HasPrefix(s, "/") || strings.Contains(s, "//") {
		return false
	}
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/-._~", r)
	})
}

func isLink(s string) bool {
	if isPath(s) {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && u.Scheme == "https" && u.Host != "" && u.User == nil && u.String() == s
}

// Header is the request header in which the sidecar names the Site to the auth service, which
// renders pages for it.
const Header = "Lilypad-Brand"

// maxHeader is the maximum size of the header's value in bytes: more than any valid Site needs.
const maxHeader = 8 << 10

// A Site is the application that a page is rendered for.
type Site struct {
	Brand

	// Home is the path of the application's start page.
	Home string `json:"home,omitempty"`
}

// Encode returns the value of Header.
func (s Site) Encode() string {
	text, _ := json.Marshal(s) // strings and lists of strings: cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// DecodeSite parses and checks the value of Header. An empty value is the product's own brand.
func DecodeSite(value string) (Site, error) {
	var s Site
	if value == "" {
		return s, nil
	}
	if len(value) > maxHeader {
		return s, fmt.Errorf("look: brand of %d bytes", len(value))
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil {
		err = s.Check()
	}
	if err == nil && s.Home != "" && !isPath(s.Home) {
		err = fmt.Errorf("home %q is not a path", s.Home)
	}
	if err != nil {
		return Site{}, fmt.Errorf("look: brand: %w", err)
	}
	return s, nil
}
