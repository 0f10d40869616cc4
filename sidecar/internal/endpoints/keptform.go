package endpoints

import (
	"errors"
	"net/http"

	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/keptform"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/visitor"
)

// offerForm serves GET /auth/form, the page that asks whether to send the kept form
// now. It shows the target and the account, but none of the fields, which may include
// a password.
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
	if errors.Is(err, keptform.ErrNone) {
		return problem.New(http.StatusNotFound, problem.NotFound,
			"Nothing that you entered is kept here for you: it was sent or discarded, its ten minutes are over, or it was entered under another account.")
	}
	if err != nil {
		return err
	}
	header, body := e.Pages.OfferForm(page.Offer{
		Target: f.Target, Path: f.Path(), Name: user.Name, Email: user.Email,
		Field: keptform.ConfirmationField, Value: keptform.ConfirmationValue(v.Former()), Discard: redirect.KeptForm + "/discard",
	})
	write(w, http.StatusOK, header, body)
	return nil
}

// discardForm serves POST /auth/form/discard: it deletes the kept form.
func (e *Endpoints) discardForm(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	if err := e.signedIn(w, r, v, e.Visitors.Find); err == nil {
		// If this fails, the form expires; without the cookie nobody can decrypt it.
		_ = e.Forms.Discard(r.Context(), v.Session.Authorization, v.Former())
	}
	w.Header().Add("Set-Cookie", cookie.ClearFormer())
	http.Redirect(w, r, e.Paths.Home, http.StatusSeeOther)
	return nil
}
