package http1

import "errors"

// Reason says in one word why an exchange went wrong; it is a metric label and a log field, so the list is closed.
type Reason string

// The reasons. The ones of the upstream are set by the forwarder.
const (
	ReasonNone              Reason = ""
	ReasonBadRequest        Reason = "bad_request"        // 400, 417, 501, 505: the message is not one we read
	ReasonTargetTooLong     Reason = "target_too_long"    // 414
	ReasonHeadTooLarge      Reason = "head_too_large"     // 431
	ReasonHeadTimeout       Reason = "head_timeout"       // 408
	ReasonBadBody           Reason = "bad_body"           // 400: broken chunks or trailers
	ReasonBodyTooLarge      Reason = "body_too_large"     // 413
	ReasonBodyTimeout       Reason = "body_timeout"       // 408
	ReasonTooManyConns      Reason = "too_many_conns"     // 503
	ReasonOverloaded        Reason = "overloaded"         // 503, or closed to make room
	ReasonClientGone        Reason = "client_gone"        // 499
	ReasonAborted           Reason = "aborted"            // ended by Abort: a revoked session, a forced shutdown
	ReasonNoAnswer          Reason = "no_answer"          // 500: the handler panicked or forgot to answer
	ReasonUpstreamBusy      Reason = "upstream_busy"      // 503: as many exchanges as it may have
	ReasonUpstreamRefused   Reason = "upstream_refused"   // 502: no connection
	ReasonUpstreamTimeout   Reason = "upstream_timeout"   // 504
	ReasonUpstreamBroke     Reason = "upstream_broke"     // 502, or an aborted answer: the connection ended inside a message
	ReasonUpstreamMalformed Reason = "upstream_malformed" // 502: an answer that has no single reading
)

// StatusClientGone is nginx's code for a client that left before its answer; it appears in logs, never on the wire.
const StatusClientGone = 499

// Fault is the refusal of a message: the status for whoever sent it, and one constant sentence on what is wrong.
type Fault struct {
	Status int
	Reason Reason
	Detail string
}

func (f *Fault) Error() string { return "http1: " + f.Detail }

func badRequest(detail string) *Fault {
	return &Fault{Status: 400, Reason: ReasonBadRequest, Detail: detail}
}

// Faults of message heads. Requests and responses share the field and framing ones.
var (
	errLineEnd       = badRequest("a line of the message head does not end in CRLF")
	errEmptyHead     = badRequest("the message starts with empty lines")
	errRequestLine   = badRequest("the request line is not: method, one space, target, one space, version")
	errStatusLine    = badRequest("the status line is malformed")
	errVersion       = &Fault{505, ReasonBadRequest, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	errMethod        = &Fault{501, ReasonBadRequest, "the method TRACE would show the request to its sender, credentials included"}
	errTarget        = badRequest("the request target must be an absolute path, or a URL of this host")
	errElsewhere     = badRequest("the request target names another host than the Host field")
	errTargetBytes   = badRequest("the request target contains a fragment, white space, a control or a non-ASCII character")
	errPath          = badRequest("the path has more than one reading")
	errTargetLength  = &Fault{414, ReasonTargetTooLong, "the request target is too long"}
	errHeadLength    = &Fault{431, ReasonHeadTooLarge, "the header is too large"}
	errFieldCount    = &Fault{431, ReasonHeadTooLarge, "the header has too many fields"}
	errHeadTimeout   = &Fault{408, ReasonHeadTimeout, "the header took too long to arrive"}
	errFieldName     = badRequest("a field name is empty, folded or contains a character that is not allowed")
	errFieldValue    = badRequest("a field value contains a control character")
	errRepeated      = badRequest("a field that must be single is repeated")
	errHost          = badRequest("there must be exactly one Host field with a host and optionally a port")
	errContentLength = badRequest("Content-Length is not a plain decimal number")
	errCoding        = badRequest("Transfer-Encoding must be exactly: chunked")
	errFraming       = badRequest("Content-Length and Transfer-Encoding exclude each other")
	errCoding10      = badRequest("Transfer-Encoding does not exist in HTTP/1.0")
	errExpect        = &Fault{417, ReasonBadRequest, "the only expectation understood is 100-continue"}
)

// Faults of message bodies.
var (
	errChunk       = &Fault{400, ReasonBadBody, "the chunked body is malformed"}
	errTrailer     = &Fault{400, ReasonBadBody, "the trailer section is malformed or too large"}
	errBodyLength  = &Fault{413, ReasonBodyTooLarge, "the body is too large"}
	errBodyTimeout = &Fault{408, ReasonBodyTimeout, "the body took too long to arrive"}
)

// errOverloaded is no fault of the message: there is no memory for it.
var errOverloaded = &Fault{503, ReasonOverloaded, "too much is going on here; please try again"}

// Errors of whoever answers, not of what was read.
var (
	// ErrField refuses to send a field that is not well-formed.
	ErrField = errors.New("http1: malformed field")
	// ErrAnswered is what comes too late once an answer was begun: another one, or the wish to read a body that the
	// client holds back until it is told to go on.
	ErrAnswered = errors.New("http1: already answered")
	errOverlong = errors.New("http1: body is longer than announced")
	errShort    = errors.New("http1: body is shorter than announced")
)
