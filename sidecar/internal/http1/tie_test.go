package http1_test

import (
	"net/http"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// tied are the arguments of a call of Slow.
type tied struct {
	h   http1.Handle
	to  string
	end time.Time
}

func TestSlowIsCalledOnlyForSlowTiedExchanges(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(time.Hour)
	slow, done := newJournal[tied](), newJournal[string]()
	wait := make(chan struct{})
	_, addr := serve(t, http1.Config{
		WatchDelay: 10 * time.Millisecond,
		Slow: func(h http1.Handle, to string, end time.Time) func() {
			slow.add(tied{h, to, end})
			return func() { done.add(to) }
		},
		Handler: func(x *http1.Exchange) {
			to := x.Request.Path
			switch to {
			case "/late": // slow before it is tied
				x.Guard(nil)
				await(t, func() bool { return x.ReadAhead() != nil })
				x.Tie(to, end)
			case "/untied":
				x.Guard(nil)
				await(t, func() bool { return x.ReadAhead() != nil })
			default:
				x.Tie(to, end)
			}
			if to == "/slow" || to == "/aborted" {
				<-wait
			}
			text(x, 200, to)
		},
	})
	p := dial(t, addr)
	told := 0
	for _, path := range []string{"/untied", "/slow", "/untied", "/late", "/slow"} {
		p.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if path != "/untied" {
			told++
			if s := slow.await(t, told); s.to != path || !s.end.Equal(end) {
				t.Fatalf("%s: Slow got %+v, want this path and %v", path, s, end)
			}
		}
		if path == "/slow" {
			if len(done.all()) == told {
				t.Errorf("%s: the function that Slow returned was called before the end, want after", path)
			}
			wait <- struct{}{}
		}
		p.expect("GET", 200, path)
	}
	if done.await(t, told); len(done.all()) != told || len(slow.all()) != told {
		t.Errorf("Slow called for %v and ended for %v, want %d each", slow.all(), done.all(), told)
	}
	p.send("GET /aborted HTTP/1.1\r\nHost: a\r\n\r\n")
	slow.await(t, told+1).h.Abort()
	if _, err := http.ReadResponse(p.r, nil); err == nil {
		t.Error("an aborted exchange was answered, want a broken connection")
	}
	close(wait)
	done.await(t, told+1)
}
