package http1_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

const get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"

func TestKeepAliveAndPipelining(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: echo})
	t.Run("one after another", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		for range 3 {
			p.send(get)
			if a := p.expect("GET", 200, "GET /a "); a.Close || a.Header.Get("Date") == "" {
				t.Errorf("header %v, want Date and no close", a.Header)
			}
		}
	})
	t.Run("all at once, answered in order", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" +
			"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\n" +
			"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + canary)
		p.expect("POST", 200, "POST /1 ab")
		p.expect("POST", 200, "POST /2 cd")
		if a := p.expect("GET", 200, "GET /3 "); !a.Close {
			t.Error("the last answer keeps the connection open, want Connection: close")
		}
		p.ended()
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
		if a := p.expect("GET", 200, "GET /a "); a.Header.Get("Connection") != "keep-alive" {
			t.Errorf("header %v, want Connection: keep-alive", a.Header)
		}
		p.send("GET /a HTTP/1.0\r\nHost: a\r\n\r\n")
		p.expect("GET", 200, "GET /a ")
		p.ended()
	})
}

// A body that the handler did not read must not be taken for the next request, nor be waited for.
func TestUnreadBody(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) { text(x, 200, x.Request.Path) }})
	t.Run("buffered", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n" + canary + get)
		p.expect("POST", 200, "/a")
		p.expect("GET", 200, "/a")
	})
	t.Run("not yet received", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + canary)
		if a := p.expect("POST", 200, "/a"); !a.Close {
			t.Error("the connection stays open, want Connection: close")
		}
		p.send(canary) // the client may continue to send and still gets its answer
		p.ended()
	})
}

func TestAnswersWithoutBody(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		status := 200
		_, _ = fmt.Sscanf(x.Request.Path, "/%d", &status)
		text(x, status, "body")
	}})
	p := dial(t, addr)
	p.send("HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n")
	if a := p.expect("HEAD", 200, ""); a.ContentLength != 4 {
		t.Errorf("HEAD announces %d bytes, want 4", a.ContentLength)
	}
	p.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n")
	if a := p.expect("GET", 204, ""); a.Header.Get("Content-Length") != "" {
		t.Errorf("header of 204: %v, want no Content-Length", a.Header)
	}
	p.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n")
	p.expect("GET", 304, "")
	p.send("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n")
	p.expect("GET", 200, "body")
}

func TestAnswersCannotBeInjected(t *testing.T) {
	t.Parallel()
	problems := newJournal[error]()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		problems.add(x.Respond(303, []http1.Field{{Name: "Location", Value: "/\r\nSet-Cookie: a=b"}}, nil))
	}})
	p := dial(t, addr)
	p.send(get)
	if a := p.expect("GET", 500, ""); len(a.Header["Set-Cookie"])+len(a.Header["Location"]) > 0 {
		t.Errorf("header %v, want neither Location nor Set-Cookie", a.Header)
	}
	if err := problems.await(t, 1); !errors.Is(err, http1.ErrField) {
		t.Errorf("Respond = %v, want ErrField", err)
	}
}

func TestFramingFieldsOfHandlersAreIgnored(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		_ = x.Respond(200, []http1.Field{
			{Name: "Content-Length", Value: "99"},
			{Name: "transfer-encoding", Value: "chunked"},
			{Name: "Connection", Value: "close"},
			{Name: "Date", Value: "then"},
		}, []byte("ok"))
	}})
	p := dial(t, addr)
	p.send(get + get)
	p.expect("GET", 200, "ok")
	if a := p.expect("GET", 200, "ok"); fmt.Sprint(a.Header["Date"]) != "[then]" || a.Close {
		t.Errorf("header %v, want the Date of the handler and no close", a.Header)
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		if x.Request.Path == "/unread" {
			text(x, 403, "no")
			return
		}
		echo(x)
	}})
	head := "POST %s HTTP/1.%d\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n"
	t.Run("sent when the body is read", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send(fmt.Sprintf(head, "/read", 1))
		p.expect("POST", 100, "")
		p.send("hello" + get)
		p.expect("POST", 200, "POST /read hello")
		p.expect("GET", 200, "GET /a ")
	})
	t.Run("not sent when the body is not read", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send(fmt.Sprintf(head, "/unread", 1))
		if a := p.expect("POST", 403, "no"); !a.Close {
			t.Error("the connection stays open with an unread body, want Connection: close")
		}
		p.ended()
	})
	t.Run("ignored in HTTP/1.0", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send(fmt.Sprintf(head, "/read", 0) + "hello")
		p.expect("POST", 200, "POST /read hello")
	})
}

// await polls until condition is true.
func await(tb testing.TB, condition func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatal("the condition never became true")
		}
	}
}

func TestHandlersThatFail(t *testing.T) {
	t.Parallel()
	ended := newJournal[http1.Facts]()
	panics := newJournal[any]()
	_, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			switch x.Request.Path {
			case "/panic":
				panic("frog")
			case "/late":
				reply, _ := x.Reply(200)
				reply.Body(10)
				_ = reply.Write([]byte("half"))
				_ = reply.Flush()
				panic("frog")
			case "/half":
				reply, _ := x.Reply(200)
				reply.Body(http1.Unknown)
				_ = reply.Write([]byte("half"))
				_ = reply.Flush()
			}
		},
		Ended:    func(x *http1.Exchange) { ended.add(x.Facts()) },
		Panicked: func(_ *http1.Exchange, v any, _ []byte) { panics.add(v) },
	})
	for i, path := range []string{"/panic", "/nothing"} {
		p := dial(t, addr)
		p.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if a := p.answer("GET"); a.StatusCode != 500 {
			t.Errorf("%s: status %d, want 500", path, a.StatusCode)
		}
		if f := ended.await(t, i+1); f.Status != 500 || f.Reason != http1.ReasonNoAnswer {
			t.Errorf("%s: facts %+v, want 500 %q", path, f, http1.ReasonNoAnswer)
		}
	}
	for _, path := range []string{"/late", "/half"} {
		p := dial(t, addr)
		p.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(p.r, nil)
		if err != nil {
			continue // the reset may arrive before the head
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: a truncated answer looks complete, want an error", path)
		}
	}
	if v := panics.await(t, 2); v != "frog" {
		t.Errorf("Panicked got %v, want frog", v)
	}
}

// A handle that outlives its exchange must not abort the next one on the same connection.
func TestAbortEndsOnlyItsExchange(t *testing.T) {
	t.Parallel()
	handles := make(chan http1.Handle, 2)
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		handles <- x.Handle()
		if x.Request.Path == "/wait" {
			<-x.Context().Done()
			return
		}
		text(x, 200, "ok")
	}})
	p := dial(t, addr)
	p.send(get)
	p.expect("GET", 200, "ok")
	old := <-handles
	p.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	current := <-handles
	if old == current {
		t.Error("two exchanges have the same handle, want different ones")
	}
	old.Abort()
	p.send(get) // pipelined, answered only if the previous exchange ends normally
	current.Abort()
	current.Abort()
	p.ended()
}

// The exchange ends when the client leaves, whatever the client has sent ahead.
func TestClientThatLeavesEndsTheExchange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ request, ahead string }{
		"at once":                       {get, ""},
		"after a byte":                  {get, "G"},
		"after a line end":              {get, "\r\n"},
		"after another request":         {get, get},
		"after many requests":           {get, strings.Repeat(get, 1000)},
		"after a body and a byte":       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "G"},
		"in a request that is ahead":    {get + get[:20], get[20:25]},
		"after closing its sending end": {get, "half of one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watched := make(chan struct{})
			ended := newJournal[http1.Facts]()
			_, addr := serve(t, http1.Config{
				WatchDelay: time.Millisecond,
				Handler: func(x *http1.Exchange) {
					_, _ = io.Copy(io.Discard, &x.Request.Body)
					x.Guard(nil)
					await(t, func() bool { return x.ReadAhead() != nil })
					watched <- struct{}{}
					<-x.Context().Done()
					if err := x.OverErr(); !errors.Is(err, http1.ErrClientGone) {
						t.Errorf("OverErr = %v, want ErrClientGone", err)
					}
				},
				Ended: func(x *http1.Exchange) { ended.add(x.Facts()) },
			})
			p := dial(t, addr)
			p.send(c.request)
			<-watched
			p.send(c.ahead)
			if name == "after closing its sending end" {
				_ = p.nc.CloseWrite()
			} else {
				_ = p.nc.Close()
			}
			if f := ended.await(t, 1); f.Status != http1.StatusClientGone || f.Reason != http1.ReasonClientGone {
				t.Errorf("facts %+v, want 499 %q", f, http1.ReasonClientGone)
			}
		})
	}
}

// What a watched client sends is its next request.
func TestWatchedClientMayPipeline(t *testing.T) {
	t.Parallel()
	watched := make(chan struct{})
	_, addr := serve(t, http1.Config{
		WatchDelay: time.Millisecond,
		Handler: func(x *http1.Exchange) {
			if x.Request.Path == "/watched" {
				x.Guard(nil)
				await(t, func() bool { return x.ReadAhead() != nil })
				watched <- struct{}{}
				<-x.ReadAhead()
			}
			text(x, 200, x.Request.Path)
		},
	})
	p := dial(t, addr)
	p.send("GET /watched HTTP/1.1\r\nHost: a\r\n\r\n")
	<-watched
	p.send(get)
	p.expect("GET", 200, "/watched")
	p.expect("GET", 200, "/a")
	p.send(get)
	p.expect("GET", 200, "/a")
}

func TestFacts(t *testing.T) {
	t.Parallel()
	ended := newJournal[http1.Facts]()
	ids := newJournal[string]()
	_, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			ids.add(x.ID())
			echo(x)
		},
		Ended: func(x *http1.Exchange) { ended.add(x.Facts()) },
	})
	p := dial(t, addr)
	post := "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	p.send(post + get)
	p.expect("POST", 200, "POST /a hello")
	p.expect("GET", 200, "GET /a ")
	for i, raw := range []string{post, get} {
		f := ended.await(t, i+1)
		if f.Status != 200 || f.Reason != "" || f.BytesIn != int64(len(raw)) || f.BytesOut < 100 || f.Took <= 0 {
			t.Errorf("facts of %q: %+v, want 200 and %d bytes in", raw, f, len(raw))
		}
	}
	if ids.await(t, 1) == ids.await(t, 2) {
		t.Error("two exchanges have the same ID, want different ones")
	}
}

func TestServeNetHTTP(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/empty" {
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "1")
		fmt.Fprintf(w, "%s %s %s %s %q %q", r.Method, r.URL, r.RequestURI, r.Host, r.FormValue("name"), r.Header["X-Frog"])
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || host != "127.0.0.1" || r.Context().Err() != nil {
			t.Errorf("remote address %q, context error %v, want 127.0.0.1 and nil", r.RemoteAddr, r.Context().Err())
		}
	})
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) { x.ServeNetHTTP(handler, 100) }})
	p := dial(t, addr)
	p.send("POST /fr%C3%B6g?x=y HTTP/1.1\r\nHost: a:80\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"X-Frog: 1\r\nx-frog: 2\r\nContent-Length: 9\r\n\r\nname=tree")
	a := p.expect("POST", 418, `POST /fr%C3%B6g?x=y /fr%C3%B6g?x=y a:80 "tree" ["1" "2"]`)
	if a.Header.Get("Set-Cookie") != "a=b" || fmt.Sprint(a.Header["X-Two"]) != "[1 2]" || a.Header.Get("X-Late") != "" {
		t.Errorf("header %v, want the cookie, both X-Two and no X-Late", a.Header)
	}
	p.send("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
	p.expect("GET", 200, "")
	p.send(chunked(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 101, strings.Repeat("x", 101))))
	if a := p.answer("POST"); a.StatusCode != 413 || !a.Close {
		t.Errorf("answer is %d, want 413 and close", a.StatusCode)
	}
}
