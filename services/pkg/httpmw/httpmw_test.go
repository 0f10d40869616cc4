package httpmw_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/problem"
)

// line is a line of the access log.
type line struct {
	Level, Msg, Method, Route string
	Status                    int
}

// logged returns the access log line of a request to h, parsed and as text.
func logged(t *testing.T, r *http.Request, h http.HandlerFunc) (line, string) {
	t.Helper()
	var log bytes.Buffer
	mw := httpmw.Chain(h, httpmw.RequestID, httpmw.AccessLog(slog.New(slog.NewJSONHandler(&log, nil))), httpmw.LimitBody(10))
	mw.ServeHTTP(httptest.NewRecorder(), r)
	var l line
	if err := json.Unmarshal(log.Bytes(), &l); err != nil {
		t.Fatalf("log %s, want one line of JSON: %v", &log, err)
	}
	return l, log.String()
}

func TestTheAccessLogHasTheRouteAndNothingOfTheURL(t *testing.T) {
	const secret = "c2Vzc2lvbi1pZC1vZi1mcmVk"
	ask := func(method, target, body string) *http.Request {
		return httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	}
	routed := func(w http.ResponseWriter, r *http.Request) {
		httpmw.SetRoute(r.Context(), "/v1/sessions/:sid")
		if got := httpmw.GetRoute(r.Context()); got != "/v1/sessions/:sid" {
			t.Errorf("GetRoute: %q, want the pattern of SetRoute", got)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	for name, tt := range map[string]struct {
		request *http.Request
		handler http.HandlerFunc
		want    line
	}{
		"a route":                 {ask(http.MethodDelete, "/v1/sessions/"+secret, ""), routed, line{"INFO", "request", "DELETE", "/v1/sessions/:sid", 204}},
		"a query":                 {ask(http.MethodGet, "/v1/sessions?sid="+secret, ""), routed, line{"INFO", "request", "GET", "/v1/sessions/:sid", 204}},
		"no route":                {ask(http.MethodGet, "/v1/elsewhere/"+secret, ""), http.NotFound, line{"INFO", "request", "GET", "", 404}},
		"refused before a router": {ask(http.MethodPost, "/v1/forms/"+secret, "more than ten bytes"), routed, line{"INFO", "request", "POST", "", 413}},
		"a user in the URL":       {ask(http.MethodGet, "http://"+secret+"@host/", ""), http.NotFound, line{"INFO", "request", "GET", "", 404}},
	} {
		got, text := logged(t, tt.request, tt.handler)
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
		if strings.Contains(text, secret) {
			t.Errorf("%s: the log contains a part of the URL: %s", name, text)
		}
	}
}

func TestARouteThatNobodyLogsIsIgnored(t *testing.T) {
	httpmw.SetRoute(t.Context(), "/v1/sessions/:sid")
	if got := httpmw.GetRoute(t.Context()); got != "" {
		t.Errorf("GetRoute: %q, want none", got)
	}
}

func TestAClientThatLeftIsStatus499(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	fault := errors.New("the store is away")
	for name, tt := range map[string]struct {
		ctx  context.Context //nolint:containedctx // the request's
		err  error
		left bool
	}{
		"gone":                         {gone, fault, true},
		"an error of its leaving":      {t.Context(), fmt.Errorf("list: %w", context.Canceled), true},
		"a fault":                      {t.Context(), fault, false},
		"a time limit of our own work": {t.Context(), context.DeadlineExceeded, false},
	} {
		r := httptest.NewRequestWithContext(tt.ctx, http.MethodGet, "/", http.NoBody)
		got, _ := logged(t, r, func(w http.ResponseWriter, r *http.Request) {
			if left := httpmw.ClientLeft(w, r, tt.err); left != tt.left {
				t.Errorf("%s: ClientLeft is %t, want %t", name, left, tt.left)
			}
		})
		if want := map[bool]int{true: 499, false: 200}[tt.left]; got.Status != want {
			t.Errorf("%s: status %d in the log, want %d", name, got.Status, want)
		}
	}
}

func TestTheGateAnswers503UntilReady(t *testing.T) {
	ready := errors.New("no keys yet")
	h := httpmw.Gate(func() error { return ready })(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	ask := func() *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		return rec
	}
	if rec := ask(); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "keys") {
		t.Errorf("not ready: status %d, Retry-After %q, body %s, want 503, a Retry-After and no reason", rec.Code, rec.Header().Get("Retry-After"), rec.Body)
	}
	ready = nil
	if rec := ask(); rec.Code != http.StatusNoContent {
		t.Errorf("ready: status %d, want 204", rec.Code)
	}
}

func TestUnreadTellsWhyABodyWasNotRead(t *testing.T) {
	for err, want := range map[error]int{
		&http.MaxBytesError{Limit: 1}: http.StatusRequestEntityTooLarge, os.ErrDeadlineExceeded: http.StatusRequestTimeout, io.ErrUnexpectedEOF: 0,
	} {
		p, _ := errors.AsType[*problem.Problem](httpmw.Unread(fmt.Errorf("read: %w", err)))
		if got := p; want == 0 && got != nil || want != 0 && (got == nil || got.Status != want) {
			t.Errorf("%v: %v, want status %d", err, got, want)
		}
	}
}
