package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"lilypad.example/services/auth/internal/signin"
)

const (
	dialTimeout = 3 * time.Second
	// callTimeout bounds one call of a provider, to the last byte of its answer.
	callTimeout = 5 * time.Second
	// maxAnswer and maxHead bound an answer in bytes.
	maxAnswer = 1 << 20
	maxHead   = 64 << 10
	// maxRedirects bounds redirects, which lead to the same host only.
	maxRedirects = 3
)

var (
	errTooLarge = errors.New("the answer is too large")
	errAddress  = errors.New("the provider's host has an address that no provider can have")
)

// isLoopback reports whether u leads to this machine.
func isLoopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// checkURL checks the URL of an issuer, or of an endpoint that a provider announces: https, or http
// on loopback if the issuer is there too.
func checkURL(text string, local bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("it is not the URL of a host")
	case u.Scheme == "https", u.Scheme == "http" && local && isLoopback(u):
		return nil
	}
	return errors.New("it must begin with https:// (only an issuer on loopback may do without)")
}

// newHTTP returns a client for the calls of one provider. It reaches loopback only if local is set,
// and link-local and metadata addresses never, whatever a name resolves to at that moment: a
// provider's discovery document must not make this service call something inside the cluster.
func newHTTP(roots *x509.CertPool, local bool) *http.Client {
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !allowed(to.Addr().Unmap(), local) {
				return fmt.Errorf("%w: %s", errAddress, address)
			}
			return nil
		},
	}
	return &http.Client{
		Timeout: callTimeout,
		Transport: limited{&http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxHead, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		}},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			from := via[0]
			if from.Method != http.MethodGet || len(via) > maxRedirects || r.URL.Host != from.URL.Host || r.URL.Scheme != from.URL.Scheme {
				return errors.New("the provider redirects to another host, or a request that is not repeated")
			}
			return nil
		},
	}
}

// awsMetadata is the metadata service of AWS in IPv6, and alibabaMetadata that of Alibaba Cloud. The
// others are link-local.
var (
	awsMetadata     = netip.MustParseAddr("fd00:ec2::254")   //nolint:gochecknoglobals // a constant
	alibabaMetadata = netip.MustParseAddr("100.100.100.200") //nolint:gochecknoglobals // a constant
)

// allowed reports whether a provider can be at ip. Private networks are allowed: many providers are
// in one.
func allowed(ip netip.Addr, local bool) bool {
	switch {
	case ip.IsLoopback():
		return local
	case ip == awsMetadata, ip == alibabaMetadata:
		return false
	}
	return ip.IsGlobalUnicast() || ip.IsPrivate()
}

// limited bounds the size of answers.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // the client wraps it
	}
	res.Body = &limitedBody{res.Body, maxAnswer}
	return res, nil
}

type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return n, errTooLarge
	}
	return n, err //nolint:wrapcheck // io.EOF must stay
}

// seldom fails requests that come too often. Logout tokens come from anyone: an unknown key ID in
// them must not make this service fetch the keys each time.
type seldom struct {
	http.RoundTripper
	rate *rate.Limiter
}

func (s seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.rate.Allow() {
		return nil, errors.New("the keys were fetched too often")
	}
	return s.RoundTripper.RoundTrip(r) //nolint:wrapcheck // the client wraps it
}

// unavailable wraps an error of a call, which a later attempt may not have.
func unavailable(step string, err error) error {
	return fmt.Errorf("%w: %s: %w", signin.ErrProviderUnavailable, step, err)
}

// read calls the provider and returns the whole answer. It fails with ErrProviderUnavailable, also
// for a status of 500 or more and 429.
func read(client *http.Client, step string, r *http.Request) (status int, header http.Header, body []byte, err error) {
	res, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, unavailable(step, err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	switch {
	case err != nil:
		return 0, nil, nil, unavailable(step, err)
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return 0, nil, nil, unavailable(step, fmt.Errorf("status %d", res.StatusCode))
	}
	return res.StatusCode, res.Header, body, nil
}
