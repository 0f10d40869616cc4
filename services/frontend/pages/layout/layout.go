// Package layout is the frame that all pages share: header, greeting, footer,
// and the rendering of a page's template into it.
//
// A page is rendered whole before its first byte is sent, so that a template's
// fault is a clean 500. What a template sees is made for one request.
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

// A Page is one page's template inside the frame.
type Page struct{ template *template.Template }

// Parse returns the page whose template is page.gohtml in files. It defines
// "main", and is written for the Content of View.
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

// View is what the frame needs to know about one answer.
type View struct {
	Title string
	// Next is where signing in should lead back to; "" for the front page.
	Next    string
	Content any

	SignedIn bool
	User     user.User
}

// Render answers with the page. The user is the one of the request's context.
func (p *Page) Render(w http.ResponseWriter, r *http.Request, status int, v View) error {
	v.User, v.SignedIn = user.FromContext(r.Context())
	var body bytes.Buffer
	if err := p.template.Execute(&body, v); err != nil {
		return fmt.Errorf("render %s: %w", v.Title, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// Every page may be personal: nobody keeps it, the browser's history
	// included.
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a client that has gone is no concern of ours
	return nil
}
