package account

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/pages/feedback"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
)

// An attempt holds the errors of a failed password change. It never holds a password.
type attempt struct {
	// Message is about the whole form.
	Message string
	// Current and New are about these fields.
	Current, New string
}

// Failed reports whether the last attempt failed.
func (a attempt) Failed() bool { return a.Message != "" }

// ChangePassword handles POST /account/password. On success it redirects to the page, else it shows
// the page with the errors. No redirect is needed then, because the form is always empty.
func (p *Page) ChangePassword(c *gin.Context) error {
	if err := known(c); err != nil {
		return err
	}
	if err := c.Request.ParseForm(); err != nil {
		return unreadable(err)
	}
	// PostForm ignores passwords in the query.
	err := p.auth.ChangePassword(c.Request.Context(), c.PostForm("current_password"), c.PostForm("new_password"))
	if err == nil {
		c.Redirect(http.StatusSeeOther, "/account?changed=password")
		return nil
	}
	status, left := p.refused(c, err)
	if !left.Failed() {
		return err
	}
	v, err := p.sessions(c)
	if err != nil {
		return err
	}
	v.Password = left
	return p.render(c, status, v)
}

// refused returns the status and messages for an error that the page shows, or a zero attempt for
// other errors.
func (p *Page) refused(c *gin.Context, err error) (int, attempt) {
	if faults, ok := errors.AsType[upstream.FieldErrors](err); ok {
		return http.StatusUnprocessableEntity, marked(faults)
	}
	if limited, ok := errors.AsType[*upstream.RateLimitedError](err); ok {
		failure.Limited(limited.RetryAfter).SetHeader(c.Writer.Header())
		return http.StatusTooManyRequests, attempt{Message: "Too many attempts. Please try again later."}
	}
	if errors.Is(err, upstream.ErrUnavailable) {
		p.log.WarnContext(c.Request.Context(), "change of password not confirmed", "error", err)
		failure.Away().SetHeader(c.Writer.Header())
		return http.StatusServiceUnavailable, attempt{
			Message: "The pond did not confirm the change. Please try again shortly; if your current password is wrong then, the new one holds already.",
		}
	}
	return 0, attempt{}
}

func marked(faults upstream.FieldErrors) attempt {
	a := attempt{Message: "Almost there: please look at the marked fields."}
	for _, f := range faults {
		switch text := feedback.Words(f.Field + ":" + f.Code); f.Field {
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

// unreadable returns the error for a body that is not a form.
func unreadable(err error) error {
	return cmp.Or[error](httpmw.Unread(err), problem.New(http.StatusBadRequest, problem.BadRequest, "This form could not be read."))
}
