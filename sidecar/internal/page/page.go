// Package page renders the sidecar's own responses: an HTML page for a person,
// problem+json (RFC 9457) for a program. Both say what to do, and reveal nothing
// about what is behind the sidecar.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"lilypad.example/services/pkg/problem"
)

var (
	//go:embed page.gohtml
	refusal string
	//go:embed offer.gohtml
	offer string
	//go:embed leave.gohtml
	leave string
	//go:embed page.css
	style string
)

// Pages renders refusals and the page that offers a kept form.
type Pages struct {
	refusal, offer, leave *template.Template
	csp                   string
	home, login           string
}

// New returns Pages that link to the application's pages home and login.
func New(home, login string) (*Pages, error) {
	r, err1 := template.New("refusal").Parse(refusal)
	o, err2 := template.New("offer").Parse(offer)
	l, err3 := template.New("leave").Parse(leave)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(style))
	return &Pages{
		refusal: r, offer: o, leave: l, home: home, login: login,
		// The only resource is an inline style sheet, allowed by its hash.
		csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action ",
	}, nil
}

// WantsPage reports whether a request is a browser's navigation, by its
// Sec-Fetch-Mode or, without that, by its Accept. Fetches, WebSockets, programs and
// requests with X-Requested-With get problem+json.
func WantsPage(method string, get func(name string) string) bool {
	if mode := get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return (method == http.MethodGet || method == http.MethodHead || method == http.MethodPost) &&
		strings.Contains(get("Accept"), "text/html") && !strings.EqualFold(get("X-Requested-With"), "XMLHttpRequest")
}

// newHeader returns the fields that all of these responses have.
func newHeader() http.Header {
	return http.Header{"X-Content-Type-Options": {"nosniff"}, "Strict-Transport-Security": {"max-age=63072000"}}
}

// Render returns the header and body of the response for p, as a page or as
// problem+json.
func (s *Pages) Render(p *problem.Problem, asPage bool) (http.Header, []byte) {
	h := newHeader()
	p.SetHeader(h)
	h.Set("Vary", "Accept, Sec-Fetch-Mode")
	if !asPage {
		h.Set("Content-Type", problem.ContentType)
		return h, p.JSON()
	}
	link, to := "Back to the start page", s.home
	if p.Status == http.StatusUnauthorized {
		link, to = "Sign in", s.login
	}
	s.setPage(h, "'none'")
	return h, execute(s.refusal, map[string]any{
		"Status": p.Status, "Title": http.StatusText(p.Status), "Detail": p.Detail, "Link": link, "To": to,
	})
}

// An Offer is the content of the page that offers a kept form.
type Offer struct {
	Target, Path string // of the form; the page shows the path
	Name, Email  string // of the account that sends it
	Field, Value string // confirmation, posted to Target
	Discard      string // path to post to, to discard the form
}

// OfferForm returns the header and body of the page that offers a kept form.
func (s *Pages) OfferForm(o Offer) (http.Header, []byte) {
	h := newHeader()
	h.Set("Cache-Control", "no-store")
	// The form is posted to this origin. Browsers apply form-action to redirects, too,
	// and the application may redirect to another site.
	s.setPage(h, "'self' https:")
	return h, execute(s.offer, map[string]any{"Offer": o})
}

// Leave returns the header and body of a page that goes on to the page at address, on another site.
func (s *Pages) Leave(address, text string) (http.Header, []byte) {
	h := newHeader()
	h.Set("Cache-Control", "no-store")
	h.Set("Refresh", "0; url="+address)
	s.setPage(h, "'none'")
	h.Set("Referrer-Policy", "no-referrer")
	return h, execute(s.leave, map[string]any{"Address": address, "Text": text})
}

func (s *Pages) setPage(h http.Header, formAction string) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", s.csp+formAction)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

func execute(t *template.Template, view map[string]any) []byte {
	view["Style"] = template.CSS(style) //nolint:gosec,forbidigo // our own file, embedded
	var b bytes.Buffer
	_ = t.Execute(&b, view) // into memory with plain values: cannot fail
	return b.Bytes()
}
