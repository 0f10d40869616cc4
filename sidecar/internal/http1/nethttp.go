package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ServeNetHTTP serves the exchange with a net/http handler. It is meant for rare requests: it reads the body into
// memory (413 if it exceeds maxBody bytes), and buffers the response.
func (x *Exchange) ServeNetHTTP(h http.Handler, maxBody int64) {
	q := &x.Request
	err := x.charge(netHTTPCost)
	var body []byte
	if err == nil {
		body, err = x.ReadBody(maxBody)
	}
	if err != nil {
		if fault, ok := errors.AsType[*Fault](err); ok {
			x.SetReason(fault.Reason)
			_ = x.RespondProblem(fault.Status, fault.Detail)
			return
		}
		x.ClientGone()
		return
	}
	r := (&http.Request{
		Method: q.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: q.Minor,
		URL:  &url.URL{Path: q.Path, RawPath: rawPath(q), RawQuery: q.RawQuery},
		Host: q.Host, RequestURI: q.Target, RemoteAddr: x.Remote().String(),
		Header: make(http.Header, len(q.Header)), Trailer: http.Header{},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}).WithContext(x.Context())
	if q.Minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	for _, f := range q.Header {
		if kindOf(f.Name) != kindHost {
			r.Header.Add(f.Name, f.Value)
		}
	}
	rec := recorder{header: make(http.Header)}
	h.ServeHTTP(&rec, r)
	rec.WriteHeader(http.StatusOK)
	_ = x.Respond(rec.status, FromNetHTTP(rec.sent), rec.body.Bytes())
}

// FromNetHTTP returns the fields of h.
func FromNetHTTP(h http.Header) Header {
	fields := make(Header, 0, len(h))
	for name, values := range h {
		for _, value := range values {
			fields.Add(name, value)
		}
	}
	return fields
}

func rawPath(q *Request) string {
	if q.RawPath == q.Path {
		return ""
	}
	return q.RawPath
}

// ReadBody reads the body to its end, for which it has BodyTimeout in all. It fails with a *Fault that says what to answer, among others when the body has
// more than limit bytes or there is no memory for it, or because the client has gone.
func (x *Exchange) ReadBody(limit int64) ([]byte, error) {
	if err := x.LimitBody(limit); err != nil {
		return nil, err
	}
	if end := time.Now().Add(x.c.srv.cfg.BodyTimeout); x.Request.Body.pace.end.IsZero() || end.Before(x.Request.Body.pace.end) {
		x.Request.Body.pace.end = end
	}
	var all []byte
	for {
		p, err := x.Request.Body.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if int64(len(all)+len(p)) > limit {
			return nil, errBodyLength
		}
		if err := x.charge(int64(len(p))); err != nil {
			return nil, err
		}
		all = append(all, p...)
	}
}

// recorder is a ResponseWriter that keeps the answer.
type recorder struct {
	header http.Header
	sent   http.Header // the header as it was when the status was written
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.header.Get("Content-Type") == "" && r.sent.Get("Content-Type") == "" {
		r.sent.Set("Content-Type", http.DetectContentType(p))
	}
	return r.body.Write(p)
}
