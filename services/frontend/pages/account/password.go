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

// An attempt is what is wrong with a change of password. It holds no password:
// none is ever given back.
type attempt struct {
	// Message is about the whole form.
	Message string
	// Current and New are about the fields.
	Current, New string
}

// Failed reports whether there was an attempt at all.
func (a attempt) Failed() bool { return a.Message != "" }

// ChangePassword answers POST /account/password: it sends the browser back to
// the page, or shows the page with what is wrong. Nothing is lost by showing it
// at once, for the form comes back empty either way.
func (p *Page) ChangePassword(c *gin.Context) error {
	if err := known(c); err != nil {
		return err
	}
	if err := c.Request.ParseForm(); err != nil {
		return unreadable(err)
	}
	// From the body alone: a password in the address is none.
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

// refused makes an answer of an error that belongs on the page, and none of
// another.
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
	if a.Current == "" && a.New == "" { // a fault that this page has no words for
		a.Message = "This password was not accepted. Please try another one."
	}
	return a
}

// unreadable is for a body that is no form.
func unreadable(err error) error {
	return cmp.Or[error](httpmw.Unread(err), problem.New(http.StatusBadRequest, problem.BadRequest, "This form could not be read."))
}
