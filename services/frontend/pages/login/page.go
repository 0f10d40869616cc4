// Package login is the page at /login. Its form posts to the sidecar, so this program never sees
// the password.
package login

import (
	"cmp"
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

// Show handles GET /login. It redirects a signed-in user to the frogs, except when there is a
// message of the sidecar: then the user must sign in again, or tried to.
func (p *Page) Show(c *gin.Context) error {
	f := selfservice.Read(c.Request.URL.Query())
	if u, ok := user.FromContext(c.Request.Context()); ok {
		if f.Message == "" {
			c.Redirect(http.StatusSeeOther, "/")
			return nil
		}
		f.Email = cmp.Or(f.Email, u.Email)
	}
	return p.page.Render(c.Writer, c.Request, http.StatusOK, layout.View{Title: "Sign In", Next: f.Next, Content: f})
}
