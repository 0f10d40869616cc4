// Package gallery is the front page: the frogs, and petting them.
//
// A user sees the frogs of the API with their counters; an anonymous visitor sees the drawings and
// a link to the login page. If the API is unavailable, the page is shown without frogs, with status
// 503.
package gallery

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/frogs"
	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/selfservice"
)

//go:embed page.gohtml
var files embed.FS

const (
	titleUser     = "You may pet the phrog 🐸"
	titleStranger = "Login to pet the phrog 👀"
)

// Frogs is the frogs API as this page uses it. Its methods return the errors of internal/upstream.
type Frogs interface {
	List(ctx context.Context) ([]frogs.Frog, error)
	Pet(ctx context.Context, id string) (frogs.Frog, error)
}

// Page is the gallery.
type Page struct {
	page   *layout.Page
	assets *static.Assets
	frogs  Frogs
	now    func() time.Time
	log    *slog.Logger
}

// New returns the page.
func New(assets *static.Assets, api Frogs, now func() time.Time, log *slog.Logger) (*Page, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &Page{page, assets, api, now, log}, nil
}

// view is the data of the template: one of Teaser, Cards and Down, or none of them if there are no
// frogs.
type view struct {
	Teaser []static.Drawing
	Cards  []card
	Down   bool
	Flash  string
	Total  string
}

type card struct {
	frogs.Frog

	Count   string
	Ago     string // "" if the user never petted it
	Said    string // what the frog says if it was just petted, else ""
	Stamped string
}

// Show handles GET / and GET /frogs.
func (p *Page) Show(c *gin.Context) error {
	if _, ok := user.FromContext(c.Request.Context()); !ok {
		return p.render(c, http.StatusOK, titleStranger, view{Teaser: p.assets.Drawings()})
	}
	all, err := p.frogs.List(c.Request.Context())
	if errors.Is(err, upstream.ErrUnavailable) {
		p.log.WarnContext(c.Request.Context(), "gallery without frogs", "error", err)
		failure.Away().SetHeader(c.Writer.Header())
		return p.render(c, http.StatusServiceUnavailable, titleUser, view{Down: true})
	}
	if err != nil {
		return err
	}
	return p.render(c, http.StatusOK, titleUser, p.cards(all, c.Query("petted")))
}

func (p *Page) render(c *gin.Context, status int, title string, v view) error {
	return p.page.Render(c.Writer, c.Request, status, layout.View{Title: title, Content: v})
}

// cards returns the view of the API's frogs. petted comes from the URL: it only selects one of
// these frogs and is never shown.
func (p *Page) cards(all []frogs.Frog, petted string) view {
	v := view{Cards: make([]card, 0, len(all))}
	var total int64
	for _, f := range all {
		total += f.Pets
		k := card{Frog: f, Count: count(f.Pets)}
		if !f.PettedAt.IsZero() {
			k.Ago, k.Stamped = selfservice.Ago(p.now(), f.PettedAt), f.PettedAt.UTC().Format(time.RFC3339)
		}
		if f.ID == petted && k.Ago != "" {
			k.Said = says(f.ID)
			v.Flash = "You petted the " + f.Name + "."
		}
		v.Cards = append(v.Cards, k)
	}
	v.Total = count(total)
	return v
}

// Pet handles POST /frogs/:id/pet. It redirects to the frog, so that a reload does not pet again.
func (p *Page) Pet(c *gin.Context) error {
	if _, ok := user.FromContext(c.Request.Context()); !ok {
		return failure.SignIn()
	}
	f, err := p.frogs.Pet(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	to := url.URL{Path: "/", RawQuery: url.Values{"petted": {f.ID}}.Encode(), Fragment: f.ID}
	c.Redirect(http.StatusSeeOther, to.String())
	return nil
}
