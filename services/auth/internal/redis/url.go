package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/pkg/storetls"
)

// Errors of parseURL. None quotes the URL: any part of a malformed one may be the password.
var (
	errURL         = errors.New("redis URL: want redis://[user:password@]host:port[/db], redis+sentinel://[user:password@]host:port,…/name-of-primary[/db] or redis+cluster://[user:password@]host:port,…, each also with rediss for TLS")
	errURLAlone    = errors.New("redis URL: want redis://[user:password@]host:port[/db] or rediss://…")
	errURLUser     = errors.New("redis URL: user and password must be percent-encoded, as in redis://:p%40ss@host:port")
	errURLHosts    = errors.New("redis URL: want host:port, several of them with commas between")
	errURLName     = errors.New("redis URL: redis+sentinel:// needs the primary's name behind the Sentinels: …/name or …/name/db")
	errURLDatabase = errors.New("redis URL: the database must be a number from 0 on")
	errURLCluster  = errors.New("redis URL: a Cluster has no databases: nothing may stand behind its hosts")
	errURLQuery    = errors.New("redis URL: the only parameter there is is sentinel_password, with redis+sentinel://")
	errURLVerify   = errors.New("redis URL: skip_verify is not taken: a server is always verified, by the authority that is set or by a public one")
)

// A place holds the options of a single server (alone), or of Sentinel or a Cluster (several).
type place struct {
	alone   *redis.Options
	several *redis.UniversalOptions
}

// trust verifies the servers' certificates with roots, or with the public authorities if roots is
// nil. It fails with storetls.ErrPlain if there are roots but the URL is not TLS.
func (p place) trust(roots *x509.CertPool) error {
	var verified *tls.Config
	if p.alone != nil {
		verified = p.alone.TLSConfig
	} else {
		verified = p.several.TLSConfig
	}
	switch {
	case verified != nil:
		verified.RootCAs = roots
	case roots != nil:
		return fmt.Errorf("redis URL: %w: rediss is TLS", storetls.ErrPlain)
	}
	return nil
}

// parseURL parses one of
//
//	redis://[user:password@]host:port[/db]                    and all that go-redis takes
//	redis+sentinel://[user:password@]host:port,…/name[/db][?sentinel_password=…]
//	redis+cluster://[user:password@]host:port,…
//
// each also with rediss for TLS. It does not use url.Parse for several servers, because that
// accepts one host only.
func parseURL(text string) (place, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	base, kind, several := strings.Cut(scheme, "+")
	switch {
	case !several:
		o, err := redis.ParseURL(text)
		if err != nil {
			return place{}, alone(scheme)
		}
		if o.TLSConfig != nil && o.TLSConfig.InsecureSkipVerify {
			return place{}, errURLVerify
		}
		return place{alone: o}, nil
	case base != "redis" && base != "rediss" || kind != "sentinel" && kind != "cluster":
		return place{}, errURL
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	o := &redis.UniversalOptions{IsClusterMode: kind == "cluster"}
	if base == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // crypto/tls verifies the host that it dials
	}
	err := errors.Join(setServers(o, authority), setPath(o, path), setQuery(o, query))
	return place{several: o}, err
}

// alone returns the error for a malformed URL with this scheme, which is not that of several
// servers.
func alone(scheme string) error {
	if scheme == "redis" || scheme == "rediss" {
		return errURLAlone
	}
	return errURL
}

// setServers parses [user:password@]host:port,host:port.
func setServers(o *redis.UniversalOptions, authority string) error {
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		var err1, err2 error
		o.Username, err1 = url.PathUnescape(user)
		o.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil || strings.ContainsAny(authority[:at], "@,") {
			return errURLUser
		}
		hosts = authority[at+1:]
	}
	for addr := range strings.SplitSeq(hosts, ",") {
		host, port, err := net.SplitHostPort(addr)
		n, err2 := strconv.ParseUint(port, 10, 16)
		if err != nil || err2 != nil || host == "" || n == 0 {
			return errURLHosts
		}
		o.Addrs = append(o.Addrs, addr)
	}
	return nil
}

// setPath parses name[/db] of Sentinel. A Cluster has no path.
func setPath(o *redis.UniversalOptions, path string) error {
	if o.IsClusterMode {
		if path != "" {
			return errURLCluster
		}
		return nil
	}
	name, db, given := strings.Cut(path, "/")
	name, err := url.PathUnescape(name)
	if err != nil || name == "" {
		return errURLName
	}
	o.MasterName = name
	if given {
		n, err := strconv.ParseUint(db, 10, 16)
		if err != nil {
			return errURLDatabase
		}
		o.DB = int(n)
	}
	return nil
}

func setQuery(o *redis.UniversalOptions, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errURLQuery
	}
	o.SentinelPassword = values.Get("sentinel_password")
	values.Del("sentinel_password")
	if len(values) > 0 || o.IsClusterMode && o.SentinelPassword != "" {
		return errURLQuery
	}
	return nil
}
