package authn_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"lilypad.example/services/pkg/authn"
)

func TestATokenOfAnEndedSessionIsRefused(t *testing.T) {
	k, ended := newKey(t, "k1"), make(chan string)
	jwks := &source{}
	jwks.publish(t, k)
	service := http.NewServeMux()
	service.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, jwks.answer.Load().body)
	})
	service.HandleFunc("GET /v1/revocations", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		select {
		case sid := <-ended:
			_, _ = fmt.Fprintf(w, "id: 1-0\ndata: {\"sid\":%q,\"reason\":\"logout\"}\n\n", sid)
		case <-r.Context().Done():
		}
	})
	auth := httptest.NewServer(service)
	t.Cleanup(auth.Close)
	v, feed := authn.ForService(t.Context(), auth.URL+"/", "", audience)
	token := k.sign(t, header("k1"), with(claims(), "iss", auth.URL+"/"))
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatalf("error %v, want none before the session has ended", err)
	}
	ended <- "s1"
	for known := false; !known; _, known = feed.Revoked("s1") {
		time.Sleep(time.Millisecond)
	}
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, authn.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid after the session has ended", err)
	}
}
