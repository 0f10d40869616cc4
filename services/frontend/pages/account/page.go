// Package account is the page at /account: what the auth service knows about
// the one who asks.
package account

import (
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/static"
)

//go:embed page.gohtml
var files embed.FS

// Page is the account page.
type Page struct{ page *layout.Page }

// New returns the page.
func New(assets *static.Assets) (*Page, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &Page{page}, nil
}

// Show answers GET /account: 401 for a stranger, and 503 while the auth
// service cannot say who this is, for the page is about nothing else.
func (p *Page) Show(c *gin.Context) error {
	u, ok := user.FromContext(c.Request.Context())
	if !ok {
		return failure.SignIn()
	}
	if !u.Known {
		return failure.Away()
	}
	return p.page.Render(c.Writer, c.Request, http.StatusOK, layout.View{Title: "Account"})
}
