package endpoints

import (
	"errors"
	"net/http"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/form"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
)

// offerForm is GET /auth/form: asks whether the kept form is to be sent now. It
// says where to and as whom, and nothing of what was entered: that may hold a
// password (R12).
func (e *Endpoints) offerForm(w http.ResponseWriter, r *http.Request, by Caller) error {
	view, user, err := e.user(w, r, by)
	if _, refused := errors.AsType[*problem.Problem](err); refused && page.WantsPage(r.Method, r.Header.Get) {
		http.Redirect(w, r, redirect.ToPage(e.Paths.Login, redirect.KeptForm, ""), http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	f, err := e.Forms.Look(r.Context(), view.Authorization, by.Former)
	if errors.Is(err, form.ErrNone) {
		return problem.New(http.StatusNotFound, problem.NotFound,
			"Nothing that you entered is kept here for you: it was sent or discarded, its ten minutes are over, or it was entered under another account.")
	}
	if err != nil {
		return err
	}
	fields, body := e.Pages.OfferForm(page.Offer{
		Target: f.Target, Path: f.Path(), Name: user.Name, Email: user.Email,
		Field: form.ConfirmationField, Value: form.ConfirmationValue(by.Former), Discard: redirect.KeptForm + "/discard",
	})
	write(w, http.StatusOK, fields, body)
	return nil
}

// discardForm is POST /auth/form/discard: nobody will send the kept form.
func (e *Endpoints) discardForm(w http.ResponseWriter, r *http.Request, by Caller) error {
	if view, err := e.signedIn(w, r, by); err == nil {
		// Without the cookie nobody can open it, even if it stays.
		_ = e.Forms.Discard(r.Context(), view.Authorization, by.Former)
	}
	w.Header().Add("Set-Cookie", cookie.ClearFormer())
	http.Redirect(w, r, e.Paths.Home, http.StatusSeeOther)
	return nil
}
