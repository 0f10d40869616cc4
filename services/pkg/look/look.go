// Package look is how the product looks: one stylesheet, the logo, and the layout around every page.
// The hosted pages, the sample app and the refusals of the sidecar use it, so that they look like
// one product. A Brand adapts it to an application.
//
// Pages need no JavaScript.
package look

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
)

var (
	//go:embed look.css
	stylesheet string
	//go:embed look.gohtml
	layout string
	//go:embed logo.svg
	logo string
)

// Stylesheet returns the stylesheet, for programs that serve it as a file.
func Stylesheet() string { return stylesheet }

// Logo returns the logo as an SVG document.
func Logo() string { return logo }

// Template returns the layout. A page defines "main", and may define "menu", the navigation in the
// header, and "foot". All of them receive the page's data, which embeds Frame.
func Template(funcs template.FuncMap) *template.Template {
	return template.Must(template.New("look").Option("missingkey=error").Funcs(funcs).Parse(layout))
}

// The types of html/template for what it would escape. They hold our own files and checked values.
type (
	style = template.CSS //nolint:forbidigo // see above
	link  = template.URL //nolint:forbidigo // see above
)

// A Frame is the data of the layout. Look.Frame makes one.
type Frame struct {
	Title string
	Site  Site

	icon       link
	style      style
	stylesheet string
}

// Icon returns the URL of the logo, which is the favicon too.
func (f Frame) Icon() link { return f.icon } //nolint:revive // an alias of an exported type

// Style returns the inline stylesheet.
func (f Frame) Style() style { return f.style } //nolint:revive // an alias of an exported type

// Stylesheet returns the URL of the stylesheet, or "" if it is inline.
func (f Frame) Stylesheet() string { return f.stylesheet }

// A Look is the look of the pages for one Site.
type Look struct {
	site  Site
	icon  link
	style style
	hash  string
}

// New returns the look for a valid site.
func New(site Site) *Look {
	site.Home = cmp.Or(site.Home, "/")
	l := &Look{site: site, style: style(stylesheet), icon: link(site.Logo)}
	if site.Logo == "" {
		l.icon = link("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(logo)))
	}
	if c, err := parseColor(site.Color); err == nil {
		l.style += c.variables()
	}
	sum := sha256.Sum256([]byte(l.style))
	l.hash = base64.StdEncoding.EncodeToString(sum[:])
	return l
}

// Site returns the site. Its Home is never empty.
func (l *Look) Site() Site { return l.site }

// Frame returns the data of the layout for a page that needs no other request: its stylesheet is
// inline.
func (l *Look) Frame(title string) Frame {
	return Frame{Title: title, Site: l.site, icon: l.icon, style: l.style}
}

// FrameOfFiles returns the data of the layout for a page that loads the stylesheet and the logo from
// these paths of its origin.
func (l *Look) FrameOfFiles(title, stylesheet, logo string) Frame {
	return Frame{Title: title, Site: l.site, icon: link(logo), stylesheet: stylesheet}
}

// CSP returns the Content-Security-Policy of a page, whose forms may go to formAction, a source
// list such as 'self'. The inline stylesheet is allowed by its hash; scripts and frames are not.
func (l *Look) CSP(formAction string) string {
	return "default-src 'none'; style-src 'sha256-" + l.hash + "'; img-src 'self' data:; form-action " + formAction +
		"; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
}
