// Package login is the page at /login. Its form goes to the sidecar, which
// keeps the password away from this program.
package login

import (
	"cmp"
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/feedback"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/static"
)

//go:embed page.gohtml
var files embed.FS

// Page is the login page.
type Page struct{ page *layout.Page }

// New returns the page.
func New(assets *static.Assets) (*Page, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &Page{page}, nil
}

// Show answers GET /login. Who is signed in already goes to the frogs, unless
// the sidecar sent them here: then they are to sign in again, or tried to.
func (p *Page) Show(c *gin.Context) error {
	f := feedback.Read(c.Request.URL.Query())
	if u, ok := user.FromContext(c.Request.Context()); ok {
		if f.Message == "" {
			c.Redirect(http.StatusSeeOther, "/")
			return nil
		}
		f.Email = cmp.Or(f.Email, u.Email)
	}
	return p.page.Render(c.Writer, c.Request, http.StatusOK, layout.View{Title: "Sign In", Next: f.Next, Content: f})
}
