package endpoints

import (
	"errors"
	"net/http"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/form"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/visitor"
)

// offerForm is GET /auth/form: asks whether the kept form is to be sent now. It
// says where to and as whom, and nothing of what was entered: that may hold a
// password (R12).
func (e *Endpoints) offerForm(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	user, err := e.user(w, r, v)
	if _, refused := errors.AsType[*problem.Problem](err); refused && page.WantsPage(r.Method, r.Header.Get) {
		http.Redirect(w, r, redirect.ToPage(e.Paths.Login, redirect.KeptForm, ""), http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	f, err := e.Forms.Look(r.Context(), v.Session.Authorization, v.Former())
	if errors.Is(err, form.ErrNone) {
		return problem.New(http.StatusNotFound, problem.NotFound,
			"Nothing that you entered is kept here for you: it was sent or discarded, its ten minutes are over, or it was entered under another account.")
	}
	if err != nil {
		return err
	}
	header, body := e.Pages.OfferForm(page.Offer{
		Target: f.Target, Path: f.Path(), Name: user.Name, Email: user.Email,
		Field: form.ConfirmationField, Value: form.ConfirmationValue(v.Former()), Discard: redirect.KeptForm + "/discard",
	})
	write(w, http.StatusOK, header, body)
	return nil
}

// discardForm is POST /auth/form/discard: nobody will send the kept form.
func (e *Endpoints) discardForm(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	if err := e.signedIn(w, r, v, e.Visitors.Find); err == nil {
		// Without the cookie nobody can open it, even if it stays.
		_ = e.Forms.Discard(r.Context(), v.Session.Authorization, v.Former())
	}
	w.Header().Add("Set-Cookie", cookie.ClearFormer())
	http.Redirect(w, r, e.Paths.Home, http.StatusSeeOther)
	return nil
}
