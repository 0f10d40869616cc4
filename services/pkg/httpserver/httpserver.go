// Package httpserver runs a program's net/http servers: the listener first,
// so that an address in use is an error of the start; bounded times and
// sizes; and a drain when the program is told to stop.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// A Server is one listening address and its handler.
type Server struct {
	name     string
	listener net.Listener
	http     *http.Server
}

// timeouts bound how long one request may hold its connection, so that a slow
// client costs a connection for seconds and not for minutes.
type timeouts struct {
	// read is for a request with its body. Its end does not touch the answer:
	// net/http lifts the deadline when the body has been read.
	read time.Duration
	// write is from the end of the request's head to the end of its answer. A
	// handler that streams sets write deadlines of its own.
	write time.Duration
}

// Listen opens addr, so that an error here is a fault of the configuration,
// and returns a server that Run serves. name appears in the log.
//
// A request must arrive within 30 s, its body included, and be answered within
// a minute; otherwise its connection is closed. A handler whose answer takes
// longer sets its own write deadlines with http.ResponseController.
func Listen(name, addr string, handler http.Handler, log *slog.Logger) (*Server, error) {
	return listen(name, addr, handler, log, timeouts{read: 30 * time.Second, write: time.Minute})
}

func listen(name, addr string, handler http.Handler, log *slog.Logger, t timeouts) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	return &Server{name: name, listener: l, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: min(10*time.Second, t.read),
		ReadTimeout:       t.read,
		WriteTimeout:      t.write,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves all servers until ctx ends or one of them fails. It then lets
// requests finish for at most drain, and closes what is left.
func Run(ctx context.Context, log *slog.Logger, drain time.Duration, servers ...*Server) error {
	failed := make(chan error, len(servers))
	for _, s := range servers {
		log.Info("listening", "server", s.name, "address", s.Addr().String())
		go func() { failed <- s.http.Serve(s.listener) }()
	}
	var err error
	select {
	case <-ctx.Done():
		log.Info("draining", "limit", drain.String())
	case err = <-failed:
	}
	return errors.Join(err, shutdown(ctx, drain, servers))
}

func shutdown(ctx context.Context, drain time.Duration, servers []*Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	var faults []error
	// In order: the first server's requests may still be watched through the
	// ops port, which therefore comes last.
	for _, s := range servers {
		if err := s.http.Shutdown(ctx); err != nil {
			faults = append(faults, fmt.Errorf("drain %s: %w", s.name, errors.Join(err, s.http.Close())))
		}
	}
	return errors.Join(faults...)
}
