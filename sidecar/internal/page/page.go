// Package page renders the sidecar's own responses: an HTML page for a person,
// problem+json (RFC 9457) for a program. Both say what to do, and reveal nothing
// about what is behind the sidecar.
package page

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"lilypad.example/services/pkg/look"
	"lilypad.example/services/pkg/problem"
)

var (
	//go:embed page.gohtml
	refusal string
	//go:embed offer.gohtml
	offer string
	//go:embed leave.gohtml
	leave string
)

// Pages renders refusals and the page that offers a kept form.
type Pages struct {
	refusal, offer, leave *template.Template
	look                  func() *look.Look
	login                 string
}

// New returns Pages with the current look, which link to the login page.
func New(current func() *look.Look, login string) *Pages {
	return &Pages{
		refusal: template.Must(look.Template(nil).Parse(refusal)),
		offer:   template.Must(look.Template(nil).Parse(offer)),
		leave:   template.Must(look.Template(nil).Parse(leave)),
		look:    current, login: login,
	}
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
	l := s.look()
	view := refused{Frame: l.Frame(http.StatusText(p.Status)), Status: p.Status, Detail: p.Detail, Link: "Back to the start page", To: l.Site().Home}
	if p.Status == http.StatusUnauthorized {
		view.Link, view.To = "Sign in", s.login
	}
	setPage(h, l.CSP("'none'"))
	return h, execute(s.refusal, view)
}

// refused is the data of the page of a refusal.
type refused struct {
	look.Frame

	Status           int
	Detail, Link, To string
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
	l := s.look()
	// The form is posted to this origin. Browsers apply form-action to redirects, too,
	// and the application may redirect to another site.
	setPage(h, l.CSP("'self' https:"))
	return h, execute(s.offer, offered{l.Frame("Send it now?"), o})
}

// Leave returns the header and body of a page that goes on to the page at address, on another site.
func (s *Pages) Leave(address, text string) (http.Header, []byte) {
	h := newHeader()
	h.Set("Cache-Control", "no-store")
	h.Set("Refresh", "0; url="+address)
	l := s.look()
	setPage(h, l.CSP("'none'"))
	h.Set("Referrer-Policy", "no-referrer")
	return h, execute(s.leave, leaving{l.Frame("One moment"), address, text})
}

// leaving is the data of the page that goes on to another site.
type leaving struct {
	look.Frame

	Address, Text string
}

// offered is the data of the page that offers a kept form.
type offered struct {
	look.Frame

	Offer Offer
}

func setPage(h http.Header, csp string) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

func execute(t *template.Template, view any) []byte {
	var b bytes.Buffer
	_ = t.Execute(&b, view) // into memory with plain values: cannot fail
	return b.Bytes()
}
