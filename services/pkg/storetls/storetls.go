// Package storetls decides which PostgreSQL and Redis servers a program trusts: those whose certificate descends from an
// authority that a file names, or else from a public one. A connection is plain because its URL says so, or it is verified for
// the server's name; there is nothing in between.
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
	_ "golang.org/x/crypto/x509roots/fallback" // the public authorities, for images that hold none
)

// ErrPlain says that an authority was named for a connection that verifies nothing.
var ErrPlain = errors.New("a certificate authority is set, but the URL asks for no TLS")

// Roots reads the certificates (PEM) of an authority. Without a file it returns nil, which means the public authorities.
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

// PostgresURL returns connection, a URL or keyword=value string of libpq, with the file of an authority as its sslrootcert.
// Without a file it returns connection itself.
func PostgresURL(connection, file string) (string, error) {
	if file == "" {
		return connection, nil
	}
	if _, err := Roots(file); err != nil {
		return "", err
	}
	escaped := strings.ReplaceAll(url.QueryEscape(file), "+", "%20") // libpq knows no plus
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

// Postgres makes every sslmode but disable verify-full. The others, prefer among them, which is libpq's default, either go on
// without TLS or do not ask whose certificate it is.
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

// encrypted reports whether TLS is asked for with a host: it never is with sslmode=disable or a Unix socket.
func encrypted(ways []*pgconn.FallbackConfig, host string) bool {
	for _, way := range ways {
		if way.Host == host && way.TLSConfig != nil {
			return true
		}
	}
	return false
}

// Explain makes an error of a connection whose certificate does not verify one of the settings: it wraps nothing, so that nobody
// takes it for an outage that passes, and says which setting names the authority if that is what is wrong.
func Explain(err error, setting string) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%s (%s names the file with the certificates of its authority)", err.Error(), setting)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New(err.Error())
	}
	return err
}
