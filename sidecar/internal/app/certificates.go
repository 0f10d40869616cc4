package app

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"lilypad.example/sidecar/internal/route"
)

// lookEvery is how often the files of certificates are read, when connections are opened.
const lookEvery = 2 * time.Second

// certificates are those with which the sidecar connects to an upstream. Their files are read again
// when a connection is opened: cert-manager and the kubelet replace them. If the new ones are
// invalid, for example because only one of the two has been replaced yet, the old ones stay.
type certificates struct {
	name string // of the upstream
	of   *route.Upstream
	log  *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	files   [][]byte
	current *tls.Config
}

// openCertificates reads the files of upstream u for the first time.
func openCertificates(name string, u *route.Upstream, log *slog.Logger) (*certificates, error) {
	c := &certificates{name: name, of: u, log: log, looked: time.Now()}
	err := c.read()
	if err == nil && u.CA == "" {
		err = checkSystemRoots()
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", name, err)
	}
	return c, nil
}

var errNoRoots = errors.New("there is no certificate authority to verify it with: name a PEM file with ca, or mount the public ones at /etc/ssl/certs")

// checkSystemRoots reports whether the system has authorities. The image has none, unless they are
// mounted.
func checkSystemRoots() error {
	roots, err := x509.SystemCertPool()
	if err != nil || roots.Equal(x509.NewCertPool()) {
		return errNoRoots
	}
	return nil
}

// Config implements forward.TLS.
func (c *certificates) Config() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if err := c.read(); err != nil {
			c.log.Error("certificates not reloaded, keeping the old ones", "upstream", c.name, "error", err)
		}
	}
	return c.current
}

// read reads the files, and takes them if they are new and valid. An error is returned once for the
// same content.
func (c *certificates) read() error {
	var files [][]byte
	for _, path := range []string{c.of.CA, c.of.Certificate, c.of.Key} {
		var text []byte
		if path != "" {
			var err error
			if text, err = os.ReadFile(path); err != nil {
				return err //nolint:wrapcheck // it names the file
			}
		}
		files = append(files, text)
	}
	if slices.EqualFunc(files, c.files, bytes.Equal) {
		return nil
	}
	c.files = files
	next := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.of.CA != "" {
		next.RootCAs = x509.NewCertPool()
		if !next.RootCAs.AppendCertsFromPEM(files[0]) {
			return fmt.Errorf("%s holds no certificate in PEM form", c.of.CA)
		}
	}
	if c.of.Certificate != "" {
		pair, err := tls.X509KeyPair(files[1], files[2])
		if err != nil {
			return fmt.Errorf("%s and %s: %w", c.of.Certificate, c.of.Key, err)
		}
		next.Certificates = []tls.Certificate{pair}
	}
	c.current = next
	return nil
}
