// Package problem is the one shape in which every program answers an error to
// a machine: RFC 9457 problem details with a stable, typed code.
//
// A service maps its domain errors to a Problem in one table (its httpapi or
// app package); this package only knows how a Problem looks on the wire. The
// text of a Problem is constant: details of a fault go to the log, never here.
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

// A Code names a kind of failure for programs. Codes are API: they never change.
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

// A Problem is an error that is fit to be shown. It is an error itself, so
// that handlers return it.
type Problem struct {
	// Status is the HTTP status code.
	Status int
	Code   Code
	// Detail is a sentence that says what to do; constant text.
	Detail string
	// Errors has one entry a field for InvalidFields.
	Errors []FieldError
	// RetryAfter, if not zero, becomes Retry-After in whole seconds, rounded up.
	// A 503 always has one: RetryAfterDefault, unless more or less is known.
	RetryAfter time.Duration
	// Challenge, if not empty, becomes WWW-Authenticate (RFC 6750 section 3).
	Challenge string
}

// RetryAfterDefault is what a caller waits for a service that is away, when
// nothing better is known: long enough to let it come back, short enough for a
// person. Whatever was away is tried again by the next request.
const RetryAfterDefault = 5 * time.Second

// New returns a Problem with a status, a code and a sentence.
func New(status int, code Code, detail string) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail}
}

func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// From returns err's Problem, or a bare 500 when it has none.
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

// JSON returns the document of RFC 9457. The type is about:blank, whose title
// is the status text (section 4.2.1); programs look at the code.
func (p *Problem) JSON() []byte {
	// The document holds only strings and an int: encoding cannot fail.
	b, _ := json.Marshal(document{"about:blank", http.StatusText(p.Status), p.Status, p.Code, p.Detail, p.Errors})
	return b
}

// SetHeader sets the headers that go with p, whatever form the body has.
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

// Write answers with p as problem+json.
func Write(w http.ResponseWriter, p *Problem) {
	p.SetHeader(w.Header())
	w.Header().Set("Content-Type", ContentType)
	w.WriteHeader(p.Status)
	// A client that has gone is no concern of the answer's.
	_, _ = w.Write(p.JSON())
}
