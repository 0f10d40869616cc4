package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/password"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
)

// Problem codes that only this service uses.
const (
	codeInvalidClient      problem.Code = "invalid_client"
	codeInvalidCredentials problem.Code = "invalid_credentials" //nolint:gosec // a word of the API
	codeEmailTaken         problem.Code = "email_taken"
	codeUnknownProvider    problem.Code = "unknown_provider"
	codeUnknownFlow        problem.Code = "unknown_authorization"
	codePasswordsOff       problem.Code = "passwords_off"
	codeRegistrationOff    problem.Code = "registration_off"
)

var errNoAssertion = errors.New("httpapi: no client assertion")

var errMalformed = problem.New(http.StatusBadRequest, problem.BadRequest, "The request body is not the JSON object that this address takes.")

// oauthError is an OAuth error response (RFC 6749 section 5.2).
type oauthError struct {
	status int
	code   api.OAuthErrorError
	// reason is why the session ended; set with invalid_grant.
	reason session.Reason
	// challenge is a Unix time in milliseconds; set with use_challenge.
	challenge int64
}

func (e *oauthError) Error() string { return "oauth: " + string(e.code) }

// fail writes the response for err. It logs server errors, whose details the response does not
// contain.
func (a *API) fail(c *gin.Context, err error) {
	if e, ok := errors.AsType[*oauthError](err); ok {
		c.Header("Cache-Control", "no-store")
		body := api.OAuthError{Error: e.code}
		if reason := api.EndReason(e.reason); reason.Valid() {
			body.Reason = &reason
		}
		if e.challenge != 0 {
			body.Challenge = &e.challenge
		}
		c.JSON(e.status, body)
		return
	}
	p := toProblem(err)
	if p.Status >= http.StatusInternalServerError && !httpmw.LogError(a.Log, c.Writer, c.Request, err) {
		return
	}
	problem.Write(c.Writer, p)
	c.Abort()
}

// toProblem maps domain errors to problems (RFC 9457).
func toProblem(err error) *problem.Problem {
	if fields, ok := errors.AsType[user.FieldErrors](err); ok {
		p := problem.New(http.StatusUnprocessableEntity, problem.InvalidFields, "Please correct the marked fields.")
		for _, f := range fields {
			p.Errors = append(p.Errors, problem.FieldError{Field: f.Field, Code: f.Code, Detail: fieldDetail(f)})
		}
		return p
	}
	if refusal, ok := errors.AsType[*signin.Refusal](err); ok {
		return problem.New(refusalStatus(refusal.Code), problem.Code(refusal.Code), refusal.Code.Detail())
	}
	switch {
	case errors.Is(err, signin.ErrUnknownProvider):
		return problem.New(http.StatusNotFound, codeUnknownProvider, "There is no such provider.")
	case errors.Is(err, signin.ErrUnknownFlow):
		return problem.New(http.StatusNotFound, codeUnknownFlow, "This sign-in is over, was used before, or began in another browser.")
	case errors.Is(err, signin.ErrBadRequest):
		return problem.New(http.StatusBadRequest, problem.BadRequest, "A sign-in cannot begin like this: redirect_uri is no http or https URL, or link comes without a live session.")
	case errors.Is(err, signin.ErrLogoutToken):
		return problem.New(http.StatusBadRequest, problem.BadRequest, "The logout token is not valid.")
	case errors.Is(err, user.ErrInvalidCredentials), errors.Is(err, session.ErrAccountChanged):
		return problem.New(http.StatusUnauthorized, codeInvalidCredentials, "E-mail or password is not right.")
	case errors.Is(err, user.ErrEmailTaken):
		return problem.New(http.StatusConflict, codeEmailTaken, "This e-mail address is registered already. Sign in instead.")
	case errors.Is(err, user.ErrHashChanged):
		return problem.New(http.StatusConflict, "password_changed", "The password was changed meanwhile. Please try again.")
	case errors.Is(err, user.ErrNotFound):
		return problem.New(http.StatusUnauthorized, problem.Unauthorized, "This account is no longer there.")
	case errors.Is(err, form.ErrNotFound):
		return problem.New(http.StatusNotFound, problem.NotFound, "No such form is kept.")
	case errors.Is(err, form.ErrClaimed):
		return problem.New(http.StatusConflict, "form_claimed", "This form is being sent at this moment.")
	case errors.Is(err, session.ErrInvalidGrant), errors.Is(err, session.ErrInvalidClient):
		return problem.New(http.StatusForbidden, problem.Forbidden, "This is no refresh token of yours.")
	case errors.Is(err, errNoAssertion), isInvalidClient(err):
		p := problem.New(http.StatusUnauthorized, codeInvalidClient, "The client assertion is missing or not valid.")
		p.Challenge = "Bearer"
		return p
	case errors.Is(err, signin.ErrUnavailable), errors.Is(err, signin.ErrProviderUnavailable), errors.Is(err, user.ErrUnavailable), errors.Is(err, session.ErrUnavailable), errors.Is(err, authn.ErrUnavailable),
		errors.Is(err, ratelimit.ErrUnavailable), errors.Is(err, form.ErrUnavailable), errors.Is(err, clientauth.ErrUnavailable), errors.Is(err, password.ErrBusy):
		p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "This does not work at the moment. Please try again shortly.")
		if busy, ok := errors.AsType[*password.BusyError](err); ok {
			p.RetryAfter = busy.RetryAfter
		}
		return p
	}
	return problem.From(err)
}

// refusalStatus returns the status of a sign-in that cannot even begin.
func refusalStatus(c signin.Code) int {
	switch c { //nolint:exhaustive // the others are answers to a person
	case signin.ProviderUnavailable:
		return http.StatusServiceUnavailable
	case signin.Failed:
		return http.StatusBadGateway
	}
	return http.StatusForbidden
}

func isInvalidClient(err error) bool { return errors.Is(err, clientauth.ErrInvalid) }

// fieldDetail describes the fault of a field for people who call the API by hand.
func fieldDetail(f user.FieldError) string {
	switch f.Code {
	case user.CodeRequired:
		return "This is required."
	case user.CodeTooShort:
		return "At least 15 characters are required."
	case user.CodeTooLong:
		return "This is too long."
	case user.CodeWrong:
		return "This is not your current password."
	case user.CodeCommon:
		return "This password is too easy to guess."
	}
	return "This is not valid."
}
