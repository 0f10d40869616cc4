// Package feedback reads why a login or registration failed. The sidecar puts the reason into the
// query of its redirect to /login or /register.
//
// Anybody can craft a link with such a query, so no message text is taken from it: known codes
// select constant sentences, and unknown codes are ignored. The entered values are only shown,
// escaped, in their fields.
package feedback

import (
	"net/url"
	"strings"

	"lilypad.example/services/frontend/pages/layout"
)

// maxValue is the maximum size in bytes of a value that is shown again. No valid e-mail address or
// name is longer.
const maxValue = 512

// Feedback is the result of the last attempt.
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
		Next:   layout.Next(q.Get("next")),
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
		return "The pond cannot be reached at the moment. Please try again shortly."
	case "form_kept":
		return "Sign in, then this can be sent: what you entered is kept for ten minutes."
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
