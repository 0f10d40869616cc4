package http1

import "errors"

// Reason classifies a failed exchange. It is a metric label and a log field, so the set is closed.
type Reason string

// The reasons. Those that start with "upstream" are set by package forward.
const (
	ReasonNone              Reason = ""
	ReasonBadRequest        Reason = "bad_request"        // 400, 417, 501 or 505
	ReasonTargetTooLong     Reason = "target_too_long"    // 414
	ReasonHeadTooLarge      Reason = "head_too_large"     // 431
	ReasonHeadTimeout       Reason = "head_timeout"       // 408
	ReasonBadBody           Reason = "bad_body"           // 400: malformed chunks or trailers
	ReasonBodyTooLarge      Reason = "body_too_large"     // 413
	ReasonBodyTimeout       Reason = "body_timeout"       // 408
	ReasonTooManyConns      Reason = "too_many_conns"     // 503
	ReasonOverloaded        Reason = "overloaded"         // 503, or closed to make room
	ReasonClientGone        Reason = "client_gone"        // 499
	ReasonAborted           Reason = "aborted"            // revoked session, forced shutdown
	ReasonNoAnswer          Reason = "no_answer"          // 500: the handler failed
	ReasonUpstreamBusy      Reason = "upstream_busy"      // 503: too many concurrent exchanges
	ReasonUpstreamRefused   Reason = "upstream_refused"   // 502: connection failed
	ReasonUpstreamTimeout   Reason = "upstream_timeout"   // 504
	ReasonUpstreamBroke     Reason = "upstream_broke"     // 502, or an aborted response
	ReasonUpstreamMalformed Reason = "upstream_malformed" // 502: malformed or ambiguous response
)

// StatusClientGone is nginx's code for a client that left. It appears in logs, never on the wire.
const StatusClientGone = 499

// Fault is the refusal of a message: the status to answer with, and a constant sentence.
type Fault struct {
	Status int
	Reason Reason
	Detail string
}

func (f *Fault) Error() string { return "http1: " + f.Detail }

func badRequest(detail string) *Fault {
	return &Fault{Status: 400, Reason: ReasonBadRequest, Detail: detail}
}

// Faults of message heads. Those of fields and framing are shared by requests and responses.
var (
	errLineEnd       = badRequest("a line of the message head does not end in CRLF")
	errEmptyHead     = badRequest("the message starts with empty lines")
	errRequestLine   = badRequest("the request line is not: method, space, target, space, version")
	errStatusLine    = badRequest("the status line is malformed")
	errVersion       = &Fault{505, ReasonBadRequest, "only HTTP/1.0 and HTTP/1.1 are supported"}
	errMethod        = &Fault{501, ReasonBadRequest, "method TRACE is not supported: it would echo credentials"}
	errTarget        = badRequest("the request target must be an absolute path, or a URL of this host")
	errHostDiffers   = badRequest("the request target and the Host field name different hosts")
	errTargetBytes   = badRequest("the request target contains a fragment, white space, a control character or a non-ASCII character")
	errPath          = badRequest("the path is ambiguous")
	errTargetLength  = &Fault{414, ReasonTargetTooLong, "the request target is too long"}
	errHeadLength    = &Fault{431, ReasonHeadTooLarge, "the header is too large"}
	errFieldCount    = &Fault{431, ReasonHeadTooLarge, "the header has too many fields"}
	errHeadTimeout   = &Fault{408, ReasonHeadTimeout, "the header took too long to arrive"}
	errFieldName     = badRequest("a field name is empty or contains an invalid character, or a field is folded")
	errFieldValue    = badRequest("a field value contains a control character")
	errRepeated      = badRequest("a field that may occur only once is repeated")
	errHost          = badRequest("exactly one Host field is required, with a host and an optional port")
	errContentLength = badRequest("Content-Length is not a plain decimal number")
	errCoding        = badRequest("Transfer-Encoding must be exactly: chunked")
	errFraming       = badRequest("Content-Length and Transfer-Encoding must not be combined")
	errCoding10      = badRequest("Transfer-Encoding does not exist in HTTP/1.0")
	errExpect        = &Fault{417, ReasonBadRequest, "the only supported expectation is 100-continue"}
)

// Faults of message bodies.
var (
	errChunk       = &Fault{400, ReasonBadBody, "the chunked body is malformed"}
	errTrailer     = &Fault{400, ReasonBadBody, "the trailer section is malformed or too large"}
	errBodyLength  = &Fault{413, ReasonBodyTooLarge, "the body is too large"}
	errBodyTimeout = &Fault{408, ReasonBodyTimeout, "the body took too long to arrive"}
)

// errOverloaded says that the memory budget is exhausted.
var errOverloaded = &Fault{503, ReasonOverloaded, "the server is overloaded; please try again"}

// Errors of writing a response.
var (
	// ErrField is returned for a field that is not well-formed and was therefore not sent.
	ErrField = errors.New("http1: malformed field")
	// ErrAnswered is returned when a response was begun already: for a second response, and for
	// reading a body whose client still waits for 100 Continue.
	ErrAnswered = errors.New("http1: already answered")
	errOverlong = errors.New("http1: body is longer than announced")
	errShort    = errors.New("http1: body is shorter than announced")
)
