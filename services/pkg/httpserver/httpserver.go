// Package httpserver runs a program's net/http servers. It opens the listeners first, so that an
// address in use fails the start, limits times and sizes, and drains connections on shutdown.
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

// timeouts limit how long one request may occupy its connection, so that a slow client holds it for
// seconds and not for minutes.
type timeouts struct {
	// read limits the time to receive a request with its body. It does not limit the response:
	// net/http removes the deadline when the body has been read.
	read time.Duration
	// write limits the time from the end of the request's header to the end of the response. A
	// handler that streams sets its own write deadlines.
	write time.Duration
}

// Listen opens addr and returns a server for Run. An error means that the configuration is wrong.
// name appears in the log.
//
// A request must arrive within 30 s, its body included, and be answered within a minute; otherwise
// its connection is closed. A handler whose response takes longer sets its own write deadlines with
// http.ResponseController.
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

// Run runs all servers until ctx ends or one of them fails. It then waits at most drain for
// requests to finish, and closes the connections that are left.
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
	// In order: the ops server comes last, so that it still serves metrics while the others drain.
	for _, s := range servers {
		if err := s.http.Shutdown(ctx); err != nil {
			faults = append(faults, fmt.Errorf("drain %s: %w", s.name, errors.Join(err, s.http.Close())))
		}
	}
	return errors.Join(faults...)
}
