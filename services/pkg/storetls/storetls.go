// Package storetls decides which PostgreSQL and Redis servers a program trusts: those with a
// certificate of the authority in a file or, without a file, of a public one. A connection is
// either plain, because its URL says so, or TLS that is verified for the server's name (ADR 19).
package storetls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	_ "golang.org/x/crypto/x509roots/fallback" // the public authorities, for images without any
)

// ErrPlain means that an authority is set for a connection without TLS.
var ErrPlain = errors.New("a certificate authority is set, but the URL asks for no TLS")

// Roots reads the certificates of an authority from a PEM file. If file is empty it returns nil,
// which means the public authorities.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // as in tls.Config
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// PostgresURL returns connection, a URL or keyword=value string of libpq, with file, which holds an
// authority, as its sslrootcert. If file is empty it returns connection unchanged.
func PostgresURL(connection, file string) (string, error) {
	if file == "" {
		return connection, nil
	}
	if _, err := Roots(file); err != nil {
		return "", err
	}
	escaped := strings.ReplaceAll(url.QueryEscape(file), "+", "%20") // libpq does not decode + to a space
	switch {
	case !strings.Contains(connection, "://"):
		connection += " sslrootcert='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(file) + "'"
	case strings.Contains(connection, "?"):
		connection += "&sslrootcert=" + escaped
	default:
		connection += "?sslrootcert=" + escaped
	}
	c, err := pgconn.ParseConfig(connection) // its errors hide the password
	if err != nil {
		return "", err
	}
	if c.TLSConfig == nil && len(c.Fallbacks) == 0 {
		return "", ErrPlain
	}
	return connection, nil
}

// Postgres turns every sslmode except disable into verify-full. All others, including libpq's
// default prefer, fall back to a plain connection or do not verify the server's name.
func Postgres(c *pgconn.Config) {
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	var kept []*pgconn.FallbackConfig
	for _, way := range ways {
		if way.TLSConfig == nil && encrypted(ways, way.Host) {
			continue
		}
		if way.TLSConfig != nil {
			way.TLSConfig.InsecureSkipVerify, way.TLSConfig.VerifyPeerCertificate = false, nil
			way.TLSConfig.ServerName, way.TLSConfig.MinVersion = way.Host, tls.VersionTLS12
		}
		kept = append(kept, way)
	}
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = kept[0].Host, kept[0].Port, kept[0].TLSConfig, kept[1:]
}

// encrypted reports whether one of ways uses TLS with host. None does with sslmode=disable or a
// Unix socket.
func encrypted(ways []*pgconn.FallbackConfig, host string) bool {
	for _, way := range ways {
		if way.Host == host && way.TLSConfig != nil {
			return true
		}
	}
	return false
}

// Explain turns the error of a certificate that does not verify into a configuration error. The
// result wraps nothing, so that it is not taken for an outage. If the authority is unknown, it
// names the setting of the authority's file. Explain returns other errors unchanged.
func Explain(err error, setting string) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%s (%s names the file with the certificates of its authority)", err.Error(), setting)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New(err.Error())
	}
	return err
}
