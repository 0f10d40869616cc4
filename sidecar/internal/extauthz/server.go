// Package extauthz answers Envoy's external authorization over gRPC
// (envoy.service.auth.v3.Authorization/Check). It reads and writes the few fields that
// forward auth needs, over net/http's HTTP/2: grpc-go with Envoy's types would double
// the size of the sidecar (ADR 26).
package extauthz

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	method = "/envoy.service.auth.v3.Authorization/Check"
	// maxMessage is the size of the largest check request. Envoy accepts headers of 60 KiB
	// and sends the path three times.
	maxMessage = 192 << 10
	// maxSkipped is how much of a larger one is read, so that Envoy gets to the response.
	maxSkipped = 4 << 20
	prefix     = 5 // length of what precedes a message: a flag, and its length
)

// Status codes of gRPC.
const (
	unimplemented = 12
	internal      = 13
)

// Config is what a Server needs. All of its functions are required.
type Config struct {
	Limits Limits
	// Trusts reports whether a peer may connect. Everyone else's connection is closed.
	Trusts func(peer netip.Addr) bool
	// Reserve takes memory for a message, before it is read, until release is called.
	Reserve func(bytes int) (release func(), err error)
	// Check answers a check request.
	Check func(ctx context.Context, peer netip.Addr, c *Check) Answer
	// Refuse answers what is no usable check request, or failed in Reserve or Check.
	Refuse func(ctx context.Context, err error) Answer
	Log    *slog.Logger

	IdleTimeout time.Duration
}

// Server answers check requests.
type Server struct {
	cfg  Config
	http *http.Server
}

// New returns a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	s.http = &http.Server{
		Handler:           s,
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{MaxReceiveBufferPerStream: maxMessage, SendPingTimeout: 30 * time.Second, WriteByteTimeout: 10 * time.Second},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second, // of a stream
		WriteTimeout:      time.Minute,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	s.http.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// Serve accepts connections until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(&trusting{l, s}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain does nothing: Shutdown asks peers to go away.
func (s *Server) Drain() {}

// Shutdown stops accepting, and waits for requests in flight until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// trusting is a listener for peers that the server trusts.
type trusting struct {
	net.Listener
	s *Server
}

// Accept returns the next connection of a trusted peer.
func (l *trusting) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := address(conn.RemoteAddr().String())
		if l.s.cfg.Trusts(peer) {
			return conn, nil
		}
		l.s.cfg.Log.Warn("a connection for check requests was closed: its peer is not in LILYPAD_TRUSTED_PROXIES", "remote", peer.String())
		_ = conn.Close()
	}
}

func address(text string) netip.Addr {
	a, _ := netip.ParseAddrPort(text)
	return a.Addr().Unmap().WithZone("")
}

// ServeHTTP serves one call. Whatever is framed as gRPC frames it gets an answer, a
// refusal if need be: an error could be a pass, by Envoy's failure_mode_allow.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case kind != "application/grpc" && kind != "application/grpc+proto":
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.URL.Path != method:
		fail(w, unimplemented, "there is only "+method)
		return
	}
	answer, err := s.answer(r)
	if bad, ok := errors.AsType[*framing](err); ok {
		fail(w, bad.code, bad.text)
		return
	}
	if err != nil {
		answer = s.cfg.Refuse(r.Context(), err)
	}
	w.Header().Set("Content-Type", "application/grpc")
	out := appendAnswer(make([]byte, prefix, 1<<10), &answer)
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-prefix)) //nolint:gosec // some KiB
	_, _ = w.Write(out)                                          //nolint:gosec // no page; an error means that the peer has gone
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

// fail responds with a gRPC error alone.
func fail(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", strconv.Itoa(code))
	w.Header().Set("Grpc-Message", text)
	w.WriteHeader(http.StatusOK)
}

// framing is an error of what surrounds a message.
type framing struct {
	code int
	text string
}

func (e *framing) Error() string { return e.text }

// answer reads the only message of r, and answers it.
func (s *Server) answer(r *http.Request) (a Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			s.cfg.Log.Error("panic", "value", v)
		}
	}()
	var head [prefix]byte
	if _, err := io.ReadFull(r.Body, head[:]); err != nil {
		return a, &framing{internal, "the message has no complete prefix"}
	}
	switch head[0] {
	case 0:
	case 1:
		return a, &framing{unimplemented, "compressed messages are not supported"}
	default:
		return a, &framing{internal, "the message's first byte must be 0 or 1"}
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxMessage {
		_, _ = io.CopyN(io.Discard, r.Body, min(int64(size), maxSkipped))
		return a, ErrTooLarge
	}
	release, err := s.cfg.Reserve(int(size))
	if err != nil {
		return a, err
	}
	defer release()
	message := make([]byte, size)
	if _, err := io.ReadFull(r.Body, message); err != nil {
		return a, &framing{internal, "the message is shorter than its prefix says"}
	}
	if n, err := r.Body.Read(head[:1]); n != 0 || !errors.Is(err, io.EOF) {
		return a, &framing{internal, "there must be one message"}
	}
	c, err := parse(message, s.cfg.Limits)
	if err != nil {
		return a, err
	}
	return s.cfg.Check(r.Context(), address(r.RemoteAddr), c), nil
}
