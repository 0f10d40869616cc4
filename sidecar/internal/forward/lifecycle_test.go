package forward_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	conns := newJournal[bool]()
	upstream := rawUpstream(t, func(p *peer) {
		conns.add(true)
		for p.head() != "" {
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := newProxy(t, upstream, setup{})
	for i := range 10 {
		c := dial(t, p.addr)
		c.write(get("/"))
		c.expect("GET", 200, "ok")
		p.outcomes.await(t, i+1)
	}
	if n := len(conns.all()); n != 1 {
		t.Errorf("%d connections for ten consecutive requests, want 1", n)
	}
}

func TestMaxIdle(t *testing.T) {
	t.Parallel()
	var arrived sync.WaitGroup
	arrived.Add(5)
	upstream := handlerUpstream(t, func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait()
	})
	p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{MaxIdle: 3}})
	for range 5 {
		dial(t, p.addr).write(get("/"))
	}
	p.outcomes.await(t, 5)
	if got := p.up.Idle(); got != 3 {
		t.Errorf("%d idle connections, want 3", got)
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	upstream := handlerUpstream(t, func(http.ResponseWriter, *http.Request) {})
	p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{IdleTimeout: 50 * time.Millisecond}})
	dial(t, p.addr).write(get("/"))
	p.outcomes.await(t, 1)
	await(t, func() bool { return p.up.Idle() == 0 })
}

// A connection that the upstream closed while it was idle is detected, and causes no error.
func TestStaleConnectionsAreNotUsed(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*peer){
		"closed": func(*peer) {},
		"reset":  func(p *peer) { _ = p.nc.SetLinger(0) },
		"unsolicited answer": func(p *peer) {
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
			_ = p.head()
		},
		"408": func(p *peer) { p.write("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ends := make(chan bool, 1)
			upstream := rawUpstream(t, func(p *peer) {
				p.head()
				p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				<-ends
				end(p)
			})
			p := newProxy(t, upstream, setup{})
			for i := range 4 {
				c := dial(t, p.addr)
				c.write([]string{
					"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
					"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
				}[i%2])
				c.expect("POST", 200, "ok")
				p.outcomes.await(t, i+1)
				ends <- true
				await(t, func() bool { return p.up.Idle() == 0 || !p.up.FreshestIsQuiet() })
			}
		})
	}
}

// The upstream closes a pooled connection while the next request is being sent. It is retried if
// that is safe.
func TestRetries(t *testing.T) {
	t.Parallel()
	requests := newJournal[string]()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if line, err := p.r.ReadString('\n'); err == nil {
			requests.add(line)
			if strings.HasPrefix(line, "GET /half") {
				p.write("HTTP/1.1 2")
			}
			_ = p.nc.SetLinger(0)
		}
	})
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"GET":                        {get("/"), 200},
		"DELETE":                     {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
		"POST":                       {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 502},
		"PUT with a body":            {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 502},
		"GET with part of an answer": {get("/half"), 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, upstream, setup{})
			client := dial(t, p.addr)
			client.write(get("/first"))
			client.expect("GET", 200, "ok")
			p.outcomes.await(t, 1)
			client.write(c.request)
			a := client.answer("GET")
			o := p.outcomes.await(t, 2)
			if a.StatusCode != c.status || (c.status == 502) != (o.facts.Reason == http1.ReasonUpstreamBroke) {
				t.Errorf("answer is %d, outcome %+v, want %d", a.StatusCode, o, c.status)
			}
		})
	}
}

func TestNoUpstream(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	_ = ln.Close()
	p := newProxy(t, ln.Addr().String(), setup{})
	c := dial(t, p.addr)
	for i := range 2 {
		c.write(get("/"))
		if a := c.answer("GET"); a.StatusCode != 502 || a.Close {
			t.Errorf("answer is %d %v, want 502 without close", a.StatusCode, a.Header)
		}
		if o := p.outcomes.await(t, i+1); o.facts.Reason != http1.ReasonUpstreamRefused {
			t.Errorf("outcome %+v, want reason %q", o, http1.ReasonUpstreamRefused)
		}
	}
}

func TestSilentUpstream(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	defer close(done)
	upstream := rawUpstream(t, func(*peer) { <-done })
	p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{HeaderTimeout: 50 * time.Millisecond}})
	for i, request := range []string{get("/"), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"} {
		c := dial(t, p.addr)
		c.write(request)
		if a := c.answer("GET"); a.StatusCode != 504 {
			t.Errorf("answer is %d, want 504", a.StatusCode)
		}
		if o := p.outcomes.await(t, i+1); o.facts.Reason != http1.ReasonUpstreamTimeout {
			t.Errorf("outcome %+v, want reason %q", o, http1.ReasonUpstreamTimeout)
		}
	}
}

// HeaderTimeout applies to a head that never ends, and interim responses are limited.
func TestHeadsWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		say    func(i int) string
		status int
	}{
		"a field at a time":            {func(i int) string { return fmt.Sprintf("X-%d: y\r\n", i) }, 504},
		"a byte at a time":             {func(int) string { return "x" }, 504},
		"fields without end":           {func(i int) string { return strings.Repeat(fmt.Sprintf("X-%d: y\r\n", i), 5000) }, 502},
		"interim answers":              {func(int) string { return "\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" }, 502},
		"interim answers with garbage": {func(int) string { return "\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: x\r\n" }, 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := rawUpstream(t, func(p *peer) {
				p.head()
				p.write("HTTP/1.1 103 Early Hints\r\nX: ")
				drip := time.NewTicker(5 * time.Millisecond)
				defer drip.Stop()
				for i := 0; ; i++ {
					if _, err := io.WriteString(p.nc, c.say(i)); err != nil {
						return
					}
					<-drip.C
				}
			})
			p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{HeaderTimeout: 500 * time.Millisecond}})
			client := dial(t, p.addr)
			client.write(get("/"))
			a := client.answer("GET")
			for a.StatusCode < 200 {
				a = client.answer("GET")
			}
			// A slow machine may reach HeaderTimeout first.
			if a.StatusCode != c.status && (c.status != 502 || a.StatusCode != 504) {
				t.Errorf("answer is %d, want %d", a.StatusCode, c.status)
			}
			if o := p.outcomes.await(t, 1); o.err == nil || p.up.Idle() != 0 {
				t.Errorf("outcome %+v, %d idle connections, want an error and none", o, p.up.Idle())
			}
		})
	}
}

func TestUpstreamStallsInTheBody(t *testing.T) {
	t.Parallel()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		p.head()
	})
	p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{BodyTimeout: 50 * time.Millisecond}})
	c := dial(t, p.addr)
	c.write(get("/"))
	c.broken()
	if o := p.outcomes.await(t, 1); o.facts.Reason != http1.ReasonUpstreamTimeout || forward.Status(o.err) != 0 {
		t.Errorf("outcome %+v, want reason %q and no status", o, http1.ReasonUpstreamTimeout)
	}
}

func TestUpstreamDies(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"before the head":   "",
		"in the head":       "HTTP/1.1 200 OK\r\nContent-",
		"in the body":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"before the body":   "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
		"in a chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
		"between chunks":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"in the trailer":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: ",
		"with a bad chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n",
		"with a bad length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
		"bad trailer name":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX Sum: 6\r\n\r\n",
		"bad trailer value": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: \x00\r\n\r\n",
		"framing trailer":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 6\r\n\r\n",
		"endless trailer":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + strings.Repeat("X-Sum: 6\r\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := rawUpstream(t, func(p *peer) {
				p.head()
				p.write(said)
			})
			p := newProxy(t, upstream, setup{})
			c := dial(t, p.addr)
			c.write(get("/"))
			if strings.Contains(said, "\r\n\r\n") {
				c.broken()
				c.gone()
			} else if a := c.answer("GET"); a.StatusCode != 502 {
				t.Errorf("answer is %d, want 502", a.StatusCode)
			}
			o := p.outcomes.await(t, 1)
			if o.err == nil || o.facts.Reason != http1.ReasonUpstreamBroke && o.facts.Reason != http1.ReasonUpstreamMalformed {
				t.Errorf("outcome %+v, want an error with upstream_broke or upstream_malformed", o)
			}
		})
	}
}

// A body that ends with the connection is complete only if the connection is closed, not reset.
func TestUpstreamResetsInsteadOfClosing(t *testing.T) {
	t.Parallel()
	answered := make(chan struct{})
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\n\r\nhello")
		<-answered
		_ = p.nc.SetLinger(0)
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	c.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(res.Body, make([]byte, 5))
	answered <- struct{}{}
	if rest, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("a truncated answer looks complete: %q, want an error", rest)
	}
}

// The upstream request ends when the client leaves, however silent the upstream is and whatever the
// client has sent ahead.
func TestClientThatLeavesEndsTheUpstreamRequest(t *testing.T) {
	t.Parallel()
	arrived, left := newJournal[string](), newJournal[string]()
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/stream") {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			w.WriteHeader(200)
			_ = rc.Flush()
		}
		arrived.add(r.URL.Path)
		// net/http detects a closed connection only after the body.
		if _, err := io.ReadAll(r.Body); err == nil {
			<-r.Context().Done()
		}
		left.add(r.URL.Path)
	})
	p := newProxy(t, upstream, setup{server: http1.Config{WatchDelay: time.Millisecond}})
	posted := "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	for i, path := range []string{"/wait", "/wait/ahead", "/stream", "/stream/ahead", "/stream/posted/ahead", "/post"} {
		c := dial(t, p.addr)
		switch path {
		case "/post":
			c.write(posted)
		case "/stream/posted/ahead":
			c.write(strings.Replace(posted, "/post", path, 1) + "0\r\n\r\n")
		default:
			c.write(get(path))
		}
		arrived.await(t, i+1)
		if strings.HasSuffix(path, "ahead") {
			if strings.HasPrefix(path, "/stream") {
				c.head()
			}
			c.write("G")
		}
		_ = c.nc.Close()
		left.await(t, i+1)
		if o := p.outcomes.await(t, i+1); o.facts.Reason != http1.ReasonClientGone || forward.Status(o.err) != 0 {
			t.Errorf("%s: outcome %+v, want reason %q and no status", path, o, http1.ReasonClientGone)
		}
	}
}

func TestAbortEndsBothSides(t *testing.T) {
	t.Parallel()
	arrived, left := newJournal[string](), newJournal[string]()
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "data: frog\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		arrived.add(r.URL.Path)
		<-r.Context().Done()
		left.add(r.URL.Path)
	})
	handles := make(chan http1.Handle, 1)
	p := newProxy(t, upstream, setup{handler: func(p *proxy, x *http1.Exchange) error {
		handles <- x.Handle()
		return p.forward(x)
	}})
	for i, path := range []string{"/wait", "/stream"} {
		c := dial(t, p.addr)
		c.write(get(path))
		arrived.await(t, i+1)
		(<-handles).Abort()
		left.await(t, i+1)
		c.broken()
		if o := p.outcomes.await(t, i+1); o.facts.Reason != http1.ReasonAborted || forward.Status(o.err) != 0 {
			t.Errorf("%s: outcome %+v, want reason %q and no status", path, o, http1.ReasonAborted)
		}
	}
}

// An exchange that was aborted before Send does not reach the upstream.
func TestAbortBeforeSend(t *testing.T) {
	t.Parallel()
	reached := newJournal[bool]()
	upstream := handlerUpstream(t, func(http.ResponseWriter, *http.Request) { reached.add(true) })
	p := newProxy(t, upstream, setup{handler: func(p *proxy, x *http1.Exchange) error {
		x.Abort()
		return p.forward(x)
	}})
	c := dial(t, p.addr)
	c.write(get("/"))
	c.broken()
	if o := p.outcomes.await(t, 1); !errors.Is(o.err, http1.ErrAborted) || len(reached.all()) > 0 {
		t.Errorf("outcome %+v, reached the upstream %v; want ErrAborted and not reached", o, reached.all())
	}
}

// A handler that neither relays nor discards a response blocks nothing and leaks no connection.
func TestUnhandledResponse(t *testing.T) {
	t.Parallel()
	left := newJournal[bool]()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		_, _ = io.Copy(io.Discard, p.r)
		left.add(true)
	})
	p := newProxy(t, upstream, setup{handler: func(p *proxy, x *http1.Exchange) error {
		_, err := p.up.Send(x, p.request)
		return err
	}})
	for i, request := range []string{get("/"), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello"} {
		c := dial(t, p.addr)
		c.write(request)
		if a := c.answer("GET"); a.StatusCode != 500 {
			t.Errorf("answer is %d, want 500", a.StatusCode)
		}
		left.await(t, i+1)
		if o := p.outcomes.await(t, i+1); o.facts.Reason != http1.ReasonNoAnswer || p.up.Idle() != 0 {
			t.Errorf("outcome %+v, %d idle connections, want reason %q and none", o, p.up.Idle(), http1.ReasonNoAnswer)
		}
	}
}

// Many users on few connections, some of whom leave in the middle: no user sees a byte of another's
// answer.
func TestEveryoneGetsTheirOwnAnswer(t *testing.T) {
	t.Parallel()
	const users, rounds = 500, 4
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := r.URL.Path + " " + string(body) + " " + r.Header.Get("X-Name") + "\n"
		if strings.HasSuffix(r.URL.Path, "3") {
			_ = http.NewResponseController(w).Flush() // chunked
		}
		_, _ = io.WriteString(w, strings.Repeat(line, 40))
	})
	p := newProxy(t, upstream, setup{})
	var wg sync.WaitGroup
	for user := range users {
		wg.Go(func() {
			var c *peer
			for round := range rounds {
				if c == nil {
					nc, err := net.Dial("tcp", p.addr)
					if err != nil {
						t.Error(err)
						return
					}
					c = dialed(t, nc)
				}
				path := fmt.Sprintf("/%d/%d", user, round)
				body := strings.Repeat("b", user*round%100)
				c.write(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nX-Name: u%d\r\nContent-Length: %d\r\n\r\n%s", path, user, len(body), body))
				res, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Errorf("%s: read answer: %v", path, err)
					return
				}
				want := strings.Repeat(fmt.Sprintf("%s %s u%d\n", path, body, user), 40)
				if round%3 == 2 { // leave in the middle of the answer
					part := make([]byte, 100)
					n, _ := io.ReadFull(res.Body, part)
					if string(part[:n]) != want[:n] {
						t.Errorf("%s: answer begins with %q, want %q", path, part[:n], want[:n])
					}
					_ = c.nc.Close()
					c = nil
					continue
				}
				if got, err := io.ReadAll(res.Body); string(got) != want || err != nil {
					t.Errorf("%s: %d bytes, %v: %.100q, want %.100q", path, len(got), err, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Discard does not wait for a slow response.
func TestDiscardDoesNotWaitForASlowAnswer(t *testing.T) {
	t.Parallel()
	left := newJournal[bool]()
	upstream := rawUpstream(t, func(p *peer) {
		if strings.HasPrefix(p.head(), "GET /second ") {
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return
		}
		p.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 50000\r\n\r\n")
		for drip := time.NewTicker(20 * time.Millisecond); ; <-drip.C {
			if _, err := io.WriteString(p.nc, "x"); err != nil {
				left.add(true)
				return
			}
		}
	})
	p := newProxy(t, upstream, setup{handler: func(p *proxy, x *http1.Exchange) error {
		res, err := p.up.Send(x, p.request)
		if err != nil {
			return err
		}
		res.Discard()
		x.Request.Target = "/second"
		return p.forward(x)
	}})
	c := dial(t, p.addr)
	c.write(get("/first"))
	c.expect("GET", 200, "ok")
	left.await(t, 1)
}

// Strangers cannot use up MaxExchanges.
func TestMaxExchanges(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan string, 100), make(chan struct{})
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-finish
		_, _ = io.WriteString(w, r.URL.Path)
	})
	p := newProxy(t, upstream, setup{
		upstream: forward.UpstreamConfig{MaxExchanges: 4},
		handler: func(p *proxy, x *http1.Exchange) error {
			if x.Request.Path == "/known" {
				p := *p
				p.request.Known = true
				return p.forward(x)
			}
			return p.forward(x)
		},
	})
	var within []*peer
	over := 0
	begin := func(path string, ok bool) {
		t.Helper()
		c := dial(t, p.addr)
		c.write(get(path))
		if ok {
			<-arrived
			within = append(within, c)
			return
		}
		if a := c.answer("GET"); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("request beyond the limit for %s: answer is %d %v, want 503 with Retry-After", path, a.StatusCode, a.Header)
		}
		over++
		if o := p.outcomes.await(t, over); o.facts.Reason != http1.ReasonUpstreamBusy {
			t.Errorf("outcome %+v, want reason %q", o, http1.ReasonUpstreamBusy)
		}
	}
	for range 3 {
		begin("/stranger", true)
	}
	begin("/stranger", false)
	begin("/known", true)
	begin("/known", false)
	_ = within[0].nc.Close() // an exchange that ends early frees its slot
	p.outcomes.await(t, over+1)
	begin("/known", true)
	close(finish)
	for _, c := range within[1:] {
		if a := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("answer is %d, want 200", a.StatusCode)
		}
	}
	for range 20 { // so does one that completes
		c := dial(t, p.addr)
		c.write(get("/stranger"))
		c.expect("GET", 200, "/stranger")
		_ = c.nc.Close()
	}
}
