// Package register is the page at /register. Its form posts to the sidecar, so this program never
// sees the password.
package register

import (
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/selfservice"
)

//go:embed page.gohtml
var files embed.FS

// Page is the registration page.
type Page struct{ page *layout.Page }

// New returns the page.
func New(assets *static.Assets) (*Page, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &Page{page}, nil
}

// Show handles GET /register. It redirects a signed-in user to the frogs.
func (p *Page) Show(c *gin.Context) error {
	if _, ok := user.FromContext(c.Request.Context()); ok {
		c.Redirect(http.StatusSeeOther, "/")
		return nil
	}
	f := selfservice.Read(c.Request.URL.Query())
	return p.page.Render(c.Writer, c.Request, http.StatusOK, layout.View{Title: "Sign Up", Next: f.Next, Content: f})
}
