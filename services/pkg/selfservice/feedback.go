// Package selfservice is what users do with their own account on a page: sign in, register, see and
// end their sessions, change their password. The hosted pages and the sample app share its forms
// (Templates), its sentences (Feedback) and the account page (Account).
//
// The forms post to the sidecar, so a program that shows them never sees a password, except the one
// to change it.
package selfservice

import (
	"embed"
	"net/url"
	"strings"
)

// Templates define "sign-in" and "register", forms that receive a Feedback, and "sessions" and
// "password", sections that receive a View.
//
//go:embed *.gohtml
var Templates embed.FS

// maxValue is the maximum size in bytes of a value that is shown again. No valid e-mail address or
// name is longer.
const maxValue = 512

// Feedback is the result of the last attempt to sign in or to register. The sidecar puts it into the
// query of its redirect to the page.
//
// Anybody can craft a link with such a query, so no text of a message is taken from it: known codes
// select constant sentences, and unknown codes are ignored. The entered values are only shown,
// escaped, in their fields.
type Feedback struct {
	// Message is about the whole form; "" on the first visit.
	Message     string
	Email, Name string
	// Next is where to go after sign-in; "" for the front page.
	Next   string
	faults map[string]string
}

// Read returns the feedback in a query.
func Read(q url.Values) Feedback {
	f := Feedback{
		Message: message(q.Get("error")),
		Email:   bounded(q.Get("email")), Name: bounded(q.Get("name")),
		Next:   Next(q.Get("next")),
		faults: make(map[string]string),
	}
	if f.Message == "" {
		return f
	}
	for _, value := range q["field"] {
		field, _, _ := strings.Cut(value, ":")
		if text := Words(value); text != "" && f.faults[field] == "" {
			f.faults[field] = text
		}
	}
	return f
}

// Fault returns the error message of a field, or "".
func (f Feedback) Fault(field string) string { return f.faults[field] }

// First reports whether the field gets the focus. That is the first field with an error or, without
// errors, the first empty one.
func (f Feedback) First(field string, order ...string) bool {
	for _, name := range order {
		if f.faults[name] != "" {
			return name == field
		}
	}
	for _, name := range order {
		if name == "email" && f.Email == "" || name == "name" && f.Name == "" || name == "password" {
			return name == field
		}
	}
	return false
}

// maxNext is the maximum length of a target in bytes.
const maxNext = 2048

// Next returns path if it may be the target after sign-in, and "" if not. The sidecar decides for
// itself where it redirects; this only keeps invalid targets out of the page. Browsers read a
// backslash as a slash and drop control characters, so "/\host" and "/<tab>/host" leave the origin.
func Next(path string) string {
	if len(path) > maxNext || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\") {
		return ""
	}
	for _, c := range []byte(path) {
		if c < 0x20 || c == 0x7f {
			return ""
		}
	}
	return path
}

func bounded(s string) string {
	if len(s) > maxValue {
		return ""
	}
	return s
}

func message(code string) string {
	switch code {
	case "invalid_credentials":
		return "This e-mail and password do not go together. Please try again."
	case "insufficient_user_authentication":
		return "Please sign in again to go on."
	case "email_taken":
		return "This e-mail address is registered already. Login instead, or use another one."
	case "invalid_fields":
		return "Almost there: please look at the marked fields."
	case "rate_limited":
		return "Too many attempts. Please try again later."
	case "unavailable":
		return "Signing in does not work at the moment. Please try again shortly."
	case "form_kept":
		return "Sign in, then this can be sent: what you entered is kept for ten minutes."
	case "unauthorized":
		return "Please sign in to go on."
	case "forbidden":
		return "Your account may not do this."
	case "provider_denied":
		return "You were not signed in: it was canceled at the other side. You can try again."
	case "provider_unavailable", "unknown_provider":
		return "Signing in this way does not work at the moment. Please try again shortly, or use another way."
	case "provider_failed":
		return "Signing in this way failed. Please try again; if it fails again, tell the people who run this site."
	case "unknown_authorization":
		return "This sign-in took too long, or was begun in another browser. Please try again."
	case "not_allowed":
		return "This account has no access here. Use another account, or ask the people who run this site."
	case "email_unverified":
		return "Your e-mail address is not confirmed at the other side. Confirm it there, then try again."
	case "email_missing":
		return "The other side did not tell your e-mail address, which is needed here. Use another account."
	case "email_has_password":
		return "There is an account with your e-mail address and a password. Sign in with the password."
	case "account_disabled":
		return "This account is disabled. Ask the people who run this site."
	case "groups_overage":
		return "Your account is in more groups than the other side tells. Ask the people who run this site."
	case "passwords_off":
		return "Passwords are switched off here. Please sign in another way."
	case "registration_off":
		return "Nobody can register here. Ask the people who run this site for an account."
	case "step_up_failed":
		return "This page needs a stronger or more recent sign-in, of the same account, and that did not happen. Please try again."
	default:
		return ""
	}
}

// Words returns the text for a field error such as "password:too_short", or "" for an unknown one.
func Words(fault string) string {
	switch fault {
	case "email:required", "name:required", "password:required", "current_password:required":
		return "Required"
	case "email:invalid":
		return "Provide correct e-mail"
	case "name:too_long":
		return "At most 100 characters, please"
	case "current_password:wrong":
		return "This is not your current password"
	case "password:too_short":
		return "At least 15 characters, please: a few words will do"
	case "password:too_long":
		return "At most 128 characters, please"
	case "password:common":
		return "Too easy to guess: a few unrelated words are better"
	default:
		return ""
	}
}
