// Package account is the page at /account: the user's profile, sessions and password.
package account

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/pages/words"
	"lilypad.example/services/frontend/static"
)

//go:embed page.gohtml
var files embed.FS

// Auth is the part of the auth service that this page uses. Its methods return the errors of
// internal/upstream.
type Auth interface {
	Sessions(ctx context.Context) ([]api.SessionInfo, error)
	End(ctx context.Context, id string) error
	EndOthers(ctx context.Context) error
	ChangePassword(ctx context.Context, current, replacement string) error
}

// Page is the account page.
type Page struct {
	page *layout.Page
	auth Auth
	now  func() time.Time
	log  *slog.Logger
}

// New returns the page.
func New(assets *static.Assets, auth Auth, now func() time.Time, log *slog.Logger) (*Page, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &Page{page, auth, now, log}, nil
}

// view is the data of the template besides the profile: Rows, or Down if the sessions could not be
// loaded, and the result of the last attempt to change the password.
type view struct {
	Flash    string
	Rows     []row
	Others   bool
	Down     bool
	Password attempt
}

// A row is one session.
type row struct {
	api.SessionInfo
	device

	SeenAgo string
}

// Show handles GET /account. It responds with 401 if nobody is signed in, and with 503 if there is
// no profile to show. If only the sessions cannot be loaded, it shows the page without them, with
// status 503.
func (p *Page) Show(c *gin.Context) error {
	if err := known(c); err != nil {
		return err
	}
	v, err := p.sessions(c)
	if err != nil {
		return err
	}
	v.Flash = flash(c.Query("ended"), c.Query("changed"), v.Others)
	status := http.StatusOK
	if v.Down {
		failure.Away().SetHeader(c.Writer.Header())
		status = http.StatusServiceUnavailable
	}
	return p.render(c, status, v)
}

func (p *Page) render(c *gin.Context, status int, v view) error {
	return p.page.Render(c.Writer, c.Request, status, layout.View{Title: "Account", Content: v})
}

// known returns an error unless there is a user with a profile to show.
func known(c *gin.Context) error {
	u, ok := user.FromContext(c.Request.Context())
	if !ok {
		return failure.SignIn()
	}
	if !u.Known {
		return failure.Away()
	}
	return nil
}

// sessions returns the view of the user's sessions: the current one first, then the most recently
// seen.
func (p *Page) sessions(c *gin.Context) (view, error) {
	all, err := p.auth.Sessions(c.Request.Context())
	if errors.Is(err, upstream.ErrUnauthorized) || c.Request.Context().Err() != nil {
		return view{}, err
	}
	if err != nil {
		p.log.WarnContext(c.Request.Context(), "account without sessions", "error", err)
		return view{Down: true}, nil
	}
	v := view{Rows: make([]row, 0, len(all))}
	for _, s := range all {
		v.Rows = append(v.Rows, row{s, deviceOf(s.Device), words.Ago(p.now(), s.Seen)})
		v.Others = v.Others || !s.Current
	}
	slices.SortStableFunc(v.Rows, func(a, b row) int {
		if a.Current != b.Current {
			if a.Current {
				return -1
			}
			return 1
		}
		return b.Seen.Compare(a.Seen)
	})
	return v, nil
}

// flash returns the message about the last action. Its arguments come from the URL: they only
// select a constant sentence, and none that contradicts the page.
func flash(ended, changed string, others bool) string {
	switch {
	case ended == "one":
		return "That session was ended."
	case ended == "others" && !others:
		return "All other sessions were ended."
	case changed == "password" && !others:
		return "Password changed. All other sessions were ended."
	case changed == "password": // there is another sign-in since
		return "Password changed."
	default:
		return ""
	}
}

// End handles POST /account/sessions/end and redirects to the page. The session id is a form field,
// because URLs are logged.
func (p *Page) End(c *gin.Context) error {
	if _, ok := user.FromContext(c.Request.Context()); !ok {
		return failure.SignIn()
	}
	if err := p.auth.End(c.Request.Context(), c.PostForm("session")); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/account?ended=one")
	return nil
}

// EndOthers handles POST /account/sessions/end-others and redirects to the page.
func (p *Page) EndOthers(c *gin.Context) error {
	if _, ok := user.FromContext(c.Request.Context()); !ok {
		return failure.SignIn()
	}
	if err := p.auth.EndOthers(c.Request.Context()); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/account?ended=others")
	return nil
}
