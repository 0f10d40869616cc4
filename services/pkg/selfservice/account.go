package selfservice

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
)

// A Profile is the account of a signed-in user.
type Profile struct {
	Name, Email string
	Roles       []string
	SignedInAt  time.Time
	// NoPassword reports that the account has none: its owner signs in in another way.
	NoPassword bool
}

// A Session is one session of the user.
type Session struct {
	ID string
	// Device is the user agent that began it.
	Device      string
	Begun, Seen time.Time
	Current     bool
}

// Service does what the page asks for, for the user of the context.
type Service interface {
	// Profile fails if nobody is signed in, or if there is no profile to show.
	Profile(ctx context.Context) (Profile, error)
	Sessions(ctx context.Context) ([]Session, error)
	// End ends one session. It succeeds if that has ended already.
	End(ctx context.Context, id string) error
	EndOthers(ctx context.Context) error
	ChangePassword(ctx context.Context, current, replacement string) error
}

// Account is the account page, with the handlers of its forms. They return the errors of Service
// for the caller to show, unless the page itself shows them.
type Account struct {
	// Path is the page's own.
	Path    string
	Service Service
	// Problem returns what the user sees of an error. Invalid fields are those of the contract:
	// current_password, and password for the new one.
	Problem func(error) *problem.Problem
	// Render responds with the page.
	Render func(c *gin.Context, status int, v View) error
	Now    func() time.Time
	Log    *slog.Logger
}

// A View is the data of the page: Rows, or Down if the sessions could not be loaded, and the result
// of the last attempt to change the password.
type View struct {
	Path     string
	Profile  Profile
	Flash    string
	Rows     []Row
	Others   bool
	Down     bool
	Password Attempt
}

// A Row is one session in the list.
type Row struct {
	Session
	device

	SeenAgo string
}

// Mount registers the handlers. handle makes a handler that may fail one of gin's.
func (a *Account) Mount(r gin.IRoutes, handle func(func(*gin.Context) error) gin.HandlerFunc) {
	r.Match([]string{http.MethodGet, http.MethodHead}, a.Path, handle(a.show))
	r.POST(a.Path+"/sessions/end", handle(a.end))
	r.POST(a.Path+"/sessions/end-others", handle(a.endOthers))
	r.POST(a.Path+"/password", handle(a.changePassword))
}

// show shows the page. If only the sessions cannot be loaded, it shows the page without them, with
// status 503.
func (a *Account) show(c *gin.Context) error {
	v, err := a.view(c)
	if err != nil {
		return err
	}
	v.Flash = flash(c.Query("ended"), c.Query("changed"), v.Others)
	status := http.StatusOK
	if v.Down {
		status = http.StatusServiceUnavailable
		problem.New(status, problem.Unavailable, "").SetHeader(c.Writer.Header())
	}
	return a.Render(c, status, v)
}

// view returns the profile and the sessions of the user: the current one first, then the most
// recently seen.
func (a *Account) view(c *gin.Context) (View, error) {
	v := View{Path: a.Path}
	var err error
	if v.Profile, err = a.Service.Profile(c.Request.Context()); err != nil {
		return v, err
	}
	all, err := a.Service.Sessions(c.Request.Context())
	if err != nil && (a.Problem(err).Status == http.StatusUnauthorized || c.Request.Context().Err() != nil) {
		return v, err
	}
	if err != nil {
		a.Log.WarnContext(c.Request.Context(), "account without sessions", "error", err)
		v.Down = true
		return v, nil
	}
	for _, s := range all {
		v.Rows = append(v.Rows, Row{s, deviceOf(s.Device), Ago(a.Now(), s.Seen)})
		v.Others = v.Others || !s.Current
	}
	slices.SortStableFunc(v.Rows, func(a, b Row) int {
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

// end ends one session. Its ID is a form field, because URLs are logged.
func (a *Account) end(c *gin.Context) error {
	if err := a.Service.End(c.Request.Context(), c.PostForm("session")); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, a.Path+"?ended=one")
	return nil
}

func (a *Account) endOthers(c *gin.Context) error {
	if err := a.Service.EndOthers(c.Request.Context()); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, a.Path+"?ended=others")
	return nil
}

// An Attempt holds the errors of a failed password change. It never holds a password.
type Attempt struct {
	// Message is about the whole form.
	Message string
	// Current and New are about these fields.
	Current, New string
}

// Failed reports whether the last attempt failed.
func (a Attempt) Failed() bool { return a.Message != "" }

// changePassword redirects to the page on success, else it shows the page with the errors. No
// redirect is needed then, because the form is always empty.
func (a *Account) changePassword(c *gin.Context) error {
	if _, err := a.Service.Profile(c.Request.Context()); err != nil {
		return err
	}
	if err := c.Request.ParseForm(); err != nil {
		return cmp.Or[error](httpmw.Unread(err), problem.New(http.StatusBadRequest, problem.BadRequest, "This form could not be read."))
	}
	// PostForm ignores passwords in the query.
	err := a.Service.ChangePassword(c.Request.Context(), c.PostForm("current_password"), c.PostForm("new_password"))
	if err == nil {
		c.Redirect(http.StatusSeeOther, a.Path+"?changed=password")
		return nil
	}
	p := a.Problem(err)
	failed := attempt(p)
	if !failed.Failed() || c.Request.Context().Err() != nil {
		return err
	}
	if p.Status == http.StatusServiceUnavailable {
		a.Log.WarnContext(c.Request.Context(), "change of password not confirmed", "error", err)
	}
	v, err := a.view(c)
	if err != nil {
		return err
	}
	p.SetHeader(c.Writer.Header())
	v.Password = failed
	return a.Render(c, p.Status, v)
}

// attempt returns the messages for a problem that the page shows, or a zero Attempt for others.
func attempt(p *problem.Problem) Attempt {
	switch p.Status {
	case http.StatusUnprocessableEntity:
		return marked(p.Errors)
	case http.StatusTooManyRequests:
		return Attempt{Message: "Too many attempts. Please try again later."}
	case http.StatusServiceUnavailable:
		return Attempt{Message: "The change was not confirmed. Please try again shortly; if your current password is wrong then, the new one holds already."}
	}
	return Attempt{}
}

func marked(faults []problem.FieldError) Attempt {
	a := Attempt{Message: "Almost there: please look at the marked fields."}
	for _, f := range faults {
		switch text := Words(f.Field + ":" + f.Code); f.Field {
		case "current_password":
			a.Current = text
		case "password":
			a.New = text
		}
	}
	if a.Current == "" && a.New == "" { // the page has no text for this code
		a.Message = "This password was not accepted. Please try another one."
	}
	return a
}
