package forward_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

func TestRequestBodies(t *testing.T) {
	t.Parallel()
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %v %x %v", r.ContentLength, r.TransferEncoding, sha256.Sum256(body), err)
	})
	p := newProxy(t, upstream, setup{})
	long := strings.Repeat("0123456789abcdef", 20_000)
	for i, size := range []int{0, 1, 100, 5000, 40_000, len(long)} {
		want := sha256.Sum256([]byte(long[:size]))
		c := dial(t, p.addr)
		c.write(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, long[:size]))
		c.expect("POST", 200, fmt.Sprintf("%d [] %x <nil>", size, want))
		p.outcomes.await(t, 2*i+1) // a client has its answer a moment before the connection is back
		c.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		for rest := long[:size]; rest != ""; {
			n := min(len(rest), 7777)
			c.write(fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n]))
			rest = rest[n:]
		}
		c.write("0\r\n\r\n")
		c.expect("POST", 200, fmt.Sprintf("-1 [chunked] %x <nil>", want))
		p.outcomes.await(t, 2*i+2)
	}
	if got := p.up.Idle(); got != 1 {
		t.Errorf("%d connections were needed", got)
	}
}

// zeros are n bytes of nothing.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.n))
	clear(p[:n])
	z.n -= int64(n)
	return n, nil
}

// 64 MiB are enough to show that a streamed body is not buffered.
func TestStreamingNeedsNoMemory(t *testing.T) { // alone, because it looks at the memory of all
	const size = 64 << 20
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 32<<10)
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buf)
		w.Header().Set("X-Received", fmt.Sprint(n))
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, &zeros{size}, buf)
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	buf := make([]byte, 32<<10)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, path := range []string{"/length", "/chunked"} {
		c.write("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + fmt.Sprint(size) + "\r\n\r\n")
		if _, err := io.CopyBuffer(struct{ io.Writer }{c.nc}, &zeros{size}, buf); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf)
		if n != size || err != nil || res.Header.Get("X-Received") != fmt.Sprint(size) {
			t.Errorf("%s: %s up, %d down, %v", path, res.Header.Get("X-Received"), n, err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes were allocated for %d that streamed", grown, 4*size)
	}
}

// Each event is sent when it comes, although nobody says flush, and in one piece.
func TestEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	for _, framing := range []string{"Transfer-Encoding: chunked\r\n", ""} {
		upstream := rawUpstream(t, func(p *peer) {
			p.head()
			p.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + "\r\n")
			for i := range 3 {
				<-next
				event := fmt.Sprintf("data: %d\n\n", i)
				if framing != "" {
					event = fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
				}
				p.write(event)
			}
			<-next
			if framing != "" {
				p.write("0\r\n\r\n")
			}
		})
		p := newProxy(t, upstream, setup{})
		c := dial(t, p.addr)
		c.write(get("/"))
		res, err := http.ReadResponse(c.r, nil) // the head alone, before any event
		if err != nil {
			t.Fatal(err)
		}
		events := bufio.NewReader(res.Body)
		for i := range 3 {
			next <- struct{}{}
			if line, err := events.ReadString('\n'); line != fmt.Sprintf("data: %d\n", i) || err != nil {
				t.Fatalf("event %d: %q, %v", i, line, err)
			}
			_, _ = events.Discard(1)
		}
		next <- struct{}{}
		if rest, err := io.ReadAll(events); len(rest) > 0 || err != nil {
			t.Errorf("after the events: %q, %v", rest, err)
		}
	}
}

// A client that does not read stops the upstream, not the sidecar's memory.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	sent := newJournal[int]()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 200 OK\r\n\r\n")
		_ = p.nc.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		total := 0
		for piece := make([]byte, 64<<10); ; {
			n, err := p.nc.Write(piece)
			total += n
			if errors.Is(err, os.ErrDeadlineExceeded) {
				sent.add(total)
				return
			}
			if err != nil || total > 1<<30 {
				t.Errorf("wrote %d, %v", total, err)
				return
			}
		}
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	c.write(get("/"))
	n := int64(sent.await(t, 1)) // the upstream was made to wait
	if res, err := http.ReadResponse(c.r, nil); err != nil {
		t.Fatal(err)
	} else if got, err := io.Copy(io.Discard, res.Body); got != n || err != nil {
		t.Errorf("of %d bytes %d came, %v", n, got, err)
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	post := "POST /%s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	upstream := rawUpstream(t, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			if strings.Count(head, "Expect: 100-continue\r\n") != 1 {
				t.Errorf("the upstream sees:\n%s", head)
			}
			if strings.HasPrefix(head, "POST /refuse ") {
				p.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
				continue
			}
			if strings.HasPrefix(head, "POST /willing ") {
				p.write("HTTP/1.1 100 Continue\r\n\r\n")
			}
			body := make([]byte, 5)
			if _, err := io.ReadFull(p.r, body); err != nil {
				return
			}
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + string(body))
		}
	})
	t.Run("the upstream is willing", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{ContinueWait: time.Hour}})
		c := dial(t, p.addr)
		for i := range 2 {
			c.write(fmt.Sprintf(post, "willing"))
			c.expect("POST", 100, "")
			c.write("hello")
			c.expect("POST", 200, "hello")
			p.outcomes.await(t, i+1)
		}
		if got := p.up.Idle(); got != 1 {
			t.Errorf("%d connections are kept", got)
		}
	})
	t.Run("the upstream never says", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{ContinueWait: time.Millisecond}})
		c := dial(t, p.addr)
		c.write(fmt.Sprintf(post, "silent"))
		c.expect("POST", 100, "")
		c.write("hello")
		c.expect("POST", 200, "hello")
	})
	t.Run("the upstream refuses before the body", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, upstream, setup{upstream: forward.UpstreamConfig{ContinueWait: time.Hour}})
		c := dial(t, p.addr)
		c.write(fmt.Sprintf(post, "refuse"))
		if a := c.expect("POST", 403, "no"); !a.Close {
			t.Error("the answer does not say close")
		}
		c.gone()
		if o := p.outcomes.await(t, 1); o.err != nil || p.up.Idle() != 0 {
			t.Errorf("outcome: %+v, %d connections kept", o, p.up.Idle())
		}
	})
}

// An upstream may answer before it has read the body, and whether it goes on reading is its
// business.
func TestEarlyAnswers(t *testing.T) {
	t.Parallel()
	upstream := rawUpstream(t, func(p *peer) {
		p.head()
		p.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	c.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
	go func() { _, _ = io.Copy(c.nc, &zeros{100_000_000}) }() // which does not read its answer until it is told
	if a := c.expect("POST", 413, "big"); !a.Close {
		t.Error("the answer does not say close")
	}
	if o := p.outcomes.await(t, 1); o.err != nil || o.facts.Status != 413 || p.up.Idle() != 0 {
		t.Errorf("outcome: %+v, %d connections kept", o, p.up.Idle())
	}
}

// Both directions at the same time: the answer to each piece comes before the next piece is sent.
func TestFullDuplex(t *testing.T) {
	t.Parallel()
	upstream := handlerUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.WriteHeader(200)
		_ = rc.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(bytes.ToUpper(buf[:n]))
			_ = rc.Flush()
			if err != nil {
				return
			}
		}
	})
	p := newProxy(t, upstream, setup{})
	c := dial(t, p.addr)
	c.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.write("4\r\nfrog\r\n")
		piece := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, piece); string(piece) != "FROG" || err != nil {
			t.Fatalf("piece %q, %v", piece, err)
		}
	}
	c.write("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("after the pieces: %q, %v", rest, err)
	}
}

func TestBrokenRequestBodies(t *testing.T) {
	t.Parallel()
	received := newJournal[error]()
	upstream := handlerUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		received.add(err)
	})
	p := newProxy(t, upstream, setup{
		server: http1.Config{BodyTimeout: 200 * time.Millisecond},
		handler: func(p *proxy, x *http1.Exchange) error {
			if err := x.LimitBody(100_000); err != nil {
				return err
			}
			return p.forward(x)
		},
	})
	n := 0
	chunks := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	for name, c := range map[string]struct {
		raw    string
		status int
		reason http1.Reason
	}{
		"malformed": {chunks + "x\r\n", 400, http1.ReasonBadBody},
		"too large": {chunks + fmt.Sprintf("%x\r\n%s\r\n", 100_000, strings.Repeat("x", 100_000)), 413, http1.ReasonBodyTooLarge},
		"too slow":  {chunks + "5\r\nhe", 408, http1.ReasonBodyTimeout},
	} {
		client := dial(t, p.addr)
		client.write(c.raw)
		if a := client.answer("POST"); a.StatusCode != c.status || !a.Close {
			t.Errorf("%s: answer is %d %v", name, a.StatusCode, a.Header)
		}
		n++
		if o := p.outcomes.await(t, n); o.facts.Reason != c.reason {
			t.Errorf("%s: outcome %+v", name, o)
		}
		if err := received.await(t, n); err == nil {
			t.Errorf("%s: the upstream takes it for whole", name)
		}
	}
	client := dial(t, p.addr)
	client.write(chunks)
	_ = client.nc.Close()
	if o := p.outcomes.await(t, n+1); o.facts.Reason != http1.ReasonClientGone {
		t.Errorf("client gone: outcome %+v", o)
	}
	if err := received.await(t, n+1); err == nil {
		t.Error("client gone: the upstream takes it for whole")
	}
}
