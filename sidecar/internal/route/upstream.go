package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"lilypad.example/sidecar/internal/forward"
)

// An Upstream is where requests go. Exactly one of URL and URLs is set. In the file it may also be
// a text, which is its URL.
type Upstream struct {
	URL string `json:"url,omitempty"`
	// URLs are several endpoints that share the load.
	URLs []string `json:"urls,omitempty"`
	// CA is a PEM file with the authorities that may sign its certificate; empty means those of the
	// system.
	CA string `json:"ca,omitempty"`
	// Certificate and Key are PEM files of the sidecar's own certificate, for mutual TLS.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`

	// Token is the token of a signed-in user that the app gets.
	Token Token `json:"token,omitempty"`
	// Headers are the fields from which the app learns who a signed-in user is: by name, the claim
	// that it has.
	Headers map[string]Claim `json:"headers,omitempty"`

	endpoints []forward.Endpoint
	fields    []Field
}

// A Claim is a fact about a signed-in user.
type Claim string

// The claims.
const (
	Subject   Claim = "sub"
	Email     Claim = "email"
	Name      Claim = "name"
	Roles     Claim = "roles"
	SessionID Claim = "sid"
)

// A Field is an entry of Upstream.Headers.
type Field struct {
	Name  string
	Claim Claim
}

// Fields returns the entries of Headers, by name.
func (u *Upstream) Fields() []Field { return u.fields }

// Endpoints returns where the upstream listens.
func (u *Upstream) Endpoints() []forward.Endpoint { return u.endpoints }

// Secure reports whether an endpoint speaks TLS.
func (u *Upstream) Secure() bool {
	return slices.ContainsFunc(u.endpoints, func(e forward.Endpoint) bool { return e.Name != "" })
}

// String returns the addresses of the upstream.
func (u *Upstream) String() string {
	texts := make([]string, len(u.endpoints))
	for i, e := range u.endpoints {
		texts[i] = e.String()
	}
	return strings.Join(texts, " and ")
}

func (t *Table) addUpstreams(upstreams map[string]json.RawMessage) []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(upstreams)) {
		u, wrong := readUpstream(upstreams[name])
		for _, err := range wrong {
			faults = append(faults, fmt.Errorf("upstream %s: %w", name, err))
		}
		t.upstreams[name] = u // even if invalid, so that its routes are not reported too
	}
	return faults
}

// readUpstream decodes and checks an upstream.
func readUpstream(text []byte) (*Upstream, []error) {
	u := new(Upstream)
	if len(text) > 0 && text[0] != '{' {
		if yaml.Unmarshal(text, &u.URL) != nil {
			return u, []error{errors.New("it must be a URL or a set of fields")}
		}
		faults := u.check()
		return u, faults
	}
	faults, whole := decode(text, u)
	if whole {
		faults = append(faults, u.check()...)
	}
	return u, faults
}

// check returns what is wrong with u, and sets its endpoints.
func (u *Upstream) check() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	urls := u.URLs
	switch {
	case u.URL != "" && u.URLs != nil:
		fault("set exactly one of url and urls")
	case u.URLs == nil:
		urls = []string{u.URL}
	case len(u.URLs) == 0:
		fault("urls is empty: add at least one")
	}
	for _, address := range urls {
		e, err := parseAddress(address)
		switch {
		case err != nil:
			faults = append(faults, err)
		case slices.Contains(u.endpoints, e):
			fault("%q is listed twice", address)
		default:
			u.endpoints = append(u.endpoints, e)
		}
	}
	for _, file := range []struct{ field, path string }{{"ca", u.CA}, {"certificate", u.Certificate}, {"key", u.Key}} {
		switch {
		case file.path == "":
		case !path.IsAbs(file.path):
			fault("%s %q must be the absolute path of a PEM file", file.field, file.path)
		case len(u.endpoints) > 0 && !u.Secure():
			fault("%s has no effect: only https:// uses it", file.field)
		}
	}
	if err := u.Token.check(); err != nil {
		faults = append(faults, err)
	}
	for _, name := range slices.Sorted(maps.Keys(u.Headers)) {
		claim := u.Headers[name]
		if err := forward.CheckOwnedField(name); err != nil {
			fault("headers: %w", err)
		}
		if slices.ContainsFunc(u.fields, func(f Field) bool { return strings.EqualFold(f.Name, name) }) {
			fault("headers: %q is there twice", name)
		}
		switch claim {
		case Subject, Email, Name, Roles, SessionID:
		default:
			fault("headers: unknown claim %q of %s: use sub, email, name, roles or sid", claim, name)
		}
		u.fields = append(u.fields, Field{name, claim})
	}
	if (u.Certificate == "") != (u.Key == "") {
		fault("set both certificate and key, or neither")
	}
	return faults
}

// parseAddress returns the endpoint of an upstream's URL.
func parseAddress(address string) (forward.Endpoint, error) {
	scheme, _, hasScheme := strings.Cut(address, "://")
	switch {
	case address == "":
		return forward.Endpoint{}, errors.New("it has no address: use for example http://127.0.0.1:3000")
	case strings.HasPrefix(address, "unix:"):
	case !hasScheme:
		return forward.Endpoint{}, fmt.Errorf("%q must begin with http://, https:// or unix:/, for example http://%s", address, address)
	case !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https"):
		return forward.Endpoint{}, fmt.Errorf("%q must begin with http://, https:// or unix:/", address)
	}
	e, err := forward.ParseEndpoint(address)
	if bad, ok := errors.AsType[*url.Error](err); ok {
		return e, fmt.Errorf("%q is not a URL: %w", address, bad.Err)
	}
	if err != nil {
		return e, errors.New(strings.TrimPrefix(err.Error(), "upstream "))
	}
	return e, nil
}
