// Package layout is the frame of all pages: header, greeting and footer. It renders a page's
// template into the frame.
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
)

//go:embed layout.gohtml
var frame embed.FS

// A Page is the template of one page inside the frame.
type Page struct{ template *template.Template }

// Parse returns the page whose template is page.gohtml in files. The template defines "main" and
// receives a View.
func Parse(assets *static.Assets, files fs.FS) (*Page, error) {
	t := template.New("layout.gohtml").Option("missingkey=error").Funcs(template.FuncMap{
		"asset":   assets.URL,
		"picture": assets.Picture,
	})
	t, err := t.ParseFS(frame, "layout.gohtml")
	if err != nil {
		return nil, fmt.Errorf("parse layout: %w", err)
	}
	if t, err = t.ParseFS(files, "page.gohtml"); err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	return &Page{t}, nil
}

// View is the data of the frame and of the page for one response.
type View struct {
	Title string
	// Next is where to go after sign-in; "" for the front page.
	Next    string
	Content any

	SignedIn bool
	User     user.User
}

// Render responds with the page for the user of the request's context.
func (p *Page) Render(w http.ResponseWriter, r *http.Request, status int, v View) error {
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
