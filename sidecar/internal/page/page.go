// Package page is how the sidecar itself says no: a small page for a person, a
// problem document (RFC 9457) for a program. Both say what to do, and neither
// says anything about what is behind the sidecar.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/http1"
)

var (
	//go:embed page.gohtml
	source string
	//go:embed page.css
	style string
)

// Pages renders refusals.
type Pages struct {
	template *template.Template
	csp      string
	home     string
}

// New returns Pages whose link leads to home.
func New(home string) (*Pages, error) {
	t, err := template.New("page").Parse(source)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(style))
	return &Pages{
		template: t, home: home,
		// The page stands alone: its one style sheet is inline, named by its hash.
		csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// WantsPage reports whether a request comes from a person who waits for a
// page: a navigation of a browser, by its Sec-Fetch-Mode, or by its Accept
// where that is not sent. Fetches, WebSockets and programs get documents.
func WantsPage(method string, get func(name string) string) bool {
	if mode := get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return (method == http.MethodGet || method == http.MethodHead || method == http.MethodPost) &&
		strings.Contains(get("Accept"), "text/html")
}

// Render returns the header fields and body of p's answer, as a page or as a document.
func (s *Pages) Render(p *problem.Problem, asPage bool) ([]http1.Field, []byte) {
	h := make(http.Header)
	p.SetHeader(h)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=63072000")
	h.Set("Vary", "Accept, Sec-Fetch-Mode")
	body := p.JSON()
	if asPage {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", s.csp)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		body = s.html(p)
	} else {
		h.Set("Content-Type", problem.ContentType)
	}
	var fields []http1.Field
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, http1.Field{Name: name, Value: v})
		}
	}
	return fields, body
}

func (s *Pages) html(p *problem.Problem) []byte {
	var b bytes.Buffer
	// Executing into memory with these plain values cannot fail.
	_ = s.template.Execute(&b, map[string]any{
		"Style":  template.CSS(style), //nolint:gosec,forbidigo // our own file, embedded
		"Status": p.Status, "Title": http.StatusText(p.Status), "Detail": p.Detail, "Home": s.home,
	})
	return b.Bytes()
}
