// Package layout puts the greeting and the navigation of the sample app into the layout of package
// look, and renders a page's template in it.
//
// A page is rendered completely before the first byte is sent, so that a template error becomes a
// 500.
package layout

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"

	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/look"
	"lilypad.example/services/pkg/selfservice"
)

//go:embed layout.gohtml
var frame embed.FS

// A Page is the template of one page inside the frame.
type Page struct {
	template *template.Template
	frame    look.Frame
}

// Parse returns the page whose template is page.gohtml in files. The template defines "main" and
// receives a View.
func Parse(assets *static.Assets, files fs.FS) (*Page, error) {
	t := look.Template(template.FuncMap{"asset": assets.URL, "picture": assets.Picture})
	t, err := t.ParseFS(frame, "layout.gohtml")
	if err != nil {
		return nil, fmt.Errorf("parse layout: %w", err)
	}
	if t, err = t.ParseFS(selfservice.Templates, "*.gohtml"); err != nil {
		return nil, fmt.Errorf("parse forms: %w", err)
	}
	if t, err = t.ParseFS(files, "page.gohtml"); err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	return &Page{t, look.New(look.Site{}).FrameOfFiles("", assets.URL("lilypad.css"), assets.URL("logo.svg"))}, nil
}

// View is the data of the frame and of the page for one response.
type View struct {
	look.Frame // Render sets it

	Title string
	// Next is where to go after sign-in; "" for the front page.
	Next    string
	Content any

	SignedIn bool
	User     user.User
}

// Render responds with the page for the user of the request's context.
func (p *Page) Render(w http.ResponseWriter, r *http.Request, status int, v View) error {
	v.Frame = p.frame
	v.User, v.SignedIn = user.FromContext(r.Context())
	var body bytes.Buffer
	if err := p.template.Execute(&body, v); err != nil {
		return fmt.Errorf("render %s: %w", v.Title, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// Any page may contain personal data: neither shared caches nor the browser may store it.
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client may have disconnected
	return nil
}
