// Package problem defines the error response of all APIs: RFC 9457 problem details with a stable,
// typed code.
//
// A service maps its domain errors to Problems in one table (in its httpapi or app package); this
// package defines their format only. The text of a Problem is constant: details of an error go to
// the log, never to the client.
package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// ContentType is the media type of RFC 9457.
const ContentType = "application/problem+json"

// A Code identifies a kind of error for programs. Codes are part of the API and never change.
type Code string

// The codes that more than one program uses.
const (
	BadRequest       Code = "bad_request"
	Unauthorized     Code = "unauthorized"
	Forbidden        Code = "forbidden"
	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	TooLarge         Code = "too_large"
	TooSlow          Code = "too_slow"
	InvalidFields    Code = "invalid_fields"
	RateLimited      Code = "rate_limited"
	Internal         Code = "internal"
	Unavailable      Code = "unavailable"
)

// A FieldError says what is wrong with one field of a form or a JSON body.
type FieldError struct {
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// A Problem is an error that may be shown to the client. It implements error, so that handlers can
// return it.
type Problem struct {
	// Status is the HTTP status code.
	Status int
	Code   Code
	// Detail is a constant sentence that says what to do.
	Detail string
	// Errors has one entry for each invalid field, with InvalidFields.
	Errors []FieldError
	// RetryAfter, if positive, becomes Retry-After in whole seconds, rounded up. Without it, a 503
	// has RetryAfterDefault.
	RetryAfter time.Duration
	// Challenge, if not empty, becomes WWW-Authenticate (RFC 6750 section 3).
	Challenge string
}

// RetryAfterDefault is the Retry-After of a 503 when nothing better is known: long enough for a
// service to recover, short enough for a person to wait. The next request tries the service again.
const RetryAfterDefault = 5 * time.Second

// New returns a Problem with a status, a code and a sentence.
func New(status int, code Code, detail string) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail}
}

func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// From returns the Problem that err wraps, or else a generic 500.
func From(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return New(http.StatusInternalServerError, Internal, "Something went wrong on our side. Please try again.")
}

type document struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   Code         `json:"code"`
	Detail string       `json:"detail,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
}

// JSON returns the document of RFC 9457. The type is about:blank, whose title is the status text
// (section 4.2.1); programs use the code.
func (p *Problem) JSON() []byte {
	// The document holds only strings and an int: encoding cannot fail.
	b, _ := json.Marshal(document{"about:blank", http.StatusText(p.Status), p.Status, p.Code, p.Detail, p.Errors})
	return b
}

// SetHeader sets the headers of a response with p, whatever the body's format.
func (p *Problem) SetHeader(h http.Header) {
	after := p.RetryAfter
	if after <= 0 && p.Status == http.StatusServiceUnavailable {
		after = RetryAfterDefault
	}
	if after > 0 {
		seconds := int64((after + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	if p.Challenge != "" {
		h.Set("WWW-Authenticate", p.Challenge)
	}
	h.Set("Cache-Control", "no-store")
}

// Write responds with p as application/problem+json.
func Write(w http.ResponseWriter, p *Problem) {
	p.SetHeader(w.Header())
	w.Header().Set("Content-Type", ContentType)
	w.WriteHeader(p.Status)
	// An error means that the client has left.
	_, _ = w.Write(p.JSON())
}
