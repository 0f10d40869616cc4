// Package provider speaks the protocols of identity providers: OpenID Connect, and GitHub's OAuth.
// Parse reads the providers file. See docs/guides/providers.md and docs/adr/0023.
package provider

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

// defaultRefreshEvery is how often a provider is asked whether its session goes on.
const defaultRefreshEvery = 10 * time.Minute

// leastRefreshEvery bounds the load on a provider.
const leastRefreshEvery = 10 * time.Second

// file is the providers file.
type file struct {
	Providers []json.RawMessage `json:"providers"`
}

// entry is one provider in the file.
type entry struct {
	ID               string              `json:"id"`
	Type             string              `json:"type"`
	Name             string              `json:"name"`
	Issuer           string              `json:"issuer"`
	CAFile           string              `json:"ca_file"`
	ClientID         string              `json:"client_id"`
	ClientSecretFile string              `json:"client_secret_file"`
	PrivateKeyFile   string              `json:"private_key_file"`
	KeyID            string              `json:"key_id"`
	AssertionFile    string              `json:"assertion_file"`
	Scopes           []string            `json:"scopes"`
	Resource         string              `json:"resource"`
	ACRValues        []string            `json:"acr_values"`
	Prompt           string              `json:"prompt"`
	UILocales        string              `json:"ui_locales"`
	GroupsClaim      string              `json:"groups_claim"`
	Roles            map[string][]string `json:"roles"`
	Allow            struct {
		Groups    []string `json:"groups"`
		Domains   []string `json:"domains"`
		Addresses []string `json:"addresses"`
	} `json:"allow"`
	TrustEmail   bool   `json:"trust_email"`
	Logout       string `json:"logout"`
	RefreshEvery string `json:"refresh_every"`
	MaxSession   string `json:"max_session"`
}

var (
	validID    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	validScope = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`) // RFC 6749 section 3.3
)

// Parse reads the text of a providers file and the files that it names. It returns all faults at
// once, and does not call the providers.
func Parse(text []byte) ([]*signin.Provider, error) {
	var f file
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	var all []*signin.Provider
	var faults []error
	ids, issuers := map[string]bool{}, map[string]bool{}
	for i, raw := range f.Providers {
		p, err := parse(raw)
		if err != nil {
			faults = append(faults, prefixed(fmt.Sprintf("provider %d%s: ", i+1, called(raw)), err)...)
			continue
		}
		switch {
		case ids[p.ID]:
			faults = append(faults, fmt.Errorf("provider %d: the id %q is there twice", i+1, p.ID))
		case issuers[p.Issuer]:
			faults = append(faults, fmt.Errorf("provider %d (%s): the issuer %q is there twice, and an identity belongs to one provider", i+1, p.ID, p.Issuer))
		}
		ids[p.ID], issuers[p.Issuer] = true, true
		all = append(all, p)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return all, nil
}

// decode decodes YAML strictly: unknown and repeated fields are faults.
func decode(text []byte, into *file) error {
	plain, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n ", ""))
	}
	return decodeJSON(plain, into)
}

func decodeJSON(text []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(text, into)
	return errors.Join(append(strict, err)...)
}

// called returns the ID of a provider that cannot be parsed, for errors.
func called(raw []byte) string {
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(raw, &e) != nil || !validID.MatchString(e.ID) {
		return ""
	}
	return " (" + e.ID + ")"
}

// prefixed prefixes each error that is joined in err.
func prefixed(prefix string, err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{fmt.Errorf("%s%w", prefix, err)}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, prefixed(prefix, e)...)
	}
	return all
}

// parse checks one provider and returns it.
func parse(raw []byte) (*signin.Provider, error) {
	var e entry
	faults := []error{decodeJSON(raw, &e)}
	fault := func(bad bool, format string, values ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, values...))
		}
	}
	github := e.Type == "github"
	fault(!validID.MatchString(e.ID), "id: want 1 to 32 of a-z, 0-9 and -; it is part of the redirect URI")
	fault(e.Type != "oidc" && !github, "type: want oidc or github")
	fault(strings.TrimSpace(e.Name) == "" || len(e.Name) > 60, "name: want 1 to 60 bytes; the button says “Continue with NAME”")
	fault(e.ClientID == "", "client_id is required")
	if github && e.Issuer == "" {
		e.Issuer = githubIssuer
	}
	issuer, err := url.Parse(e.Issuer)
	local := err == nil && isLoopback(issuer)
	if err := checkURL(e.Issuer, local); err != nil {
		faults = append(faults, fmt.Errorf("issuer: %w", err))
	}
	fault(err == nil && issuer.RawQuery != "", "issuer: it must not have a query")

	c := credential{e.ClientID, e.ClientSecretFile, e.PrivateKeyFile, e.AssertionFile, e.KeyID}
	given := 0
	for _, path := range []string{c.secretFile, c.privateKeyFile, c.assertionFile} {
		if path != "" {
			given++
		}
	}
	switch {
	case given != 1:
		faults = append(faults, errors.New("exactly one of client_secret_file, private_key_file and assertion_file is required"))
	default:
		if err := c.check(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.setting(), err))
		}
	}
	fault(e.KeyID != "" && c.privateKeyFile == "", "key_id goes with private_key_file only")
	roots, err := readRoots(e.CAFile)
	if err != nil {
		faults = append(faults, fmt.Errorf("ca_file: %w", err))
	}
	rules, err := e.rules()
	faults = append(faults, err, e.checkScopes(github))
	for _, g := range []struct {
		name string
		set  bool
	}{
		{"resource", e.Resource != ""},
		{"acr_values", len(e.ACRValues) > 0},
		{"prompt", e.Prompt != ""},
		{"ui_locales", e.UILocales != ""},
		{"groups_claim", e.GroupsClaim != ""},
		{"trust_email", e.TrustEmail},
		{"logout", e.Logout != ""},
		{"private_key_file", e.PrivateKeyFile != ""},
		{"assertion_file", e.AssertionFile != ""},
	} {
		fault(github && g.set, "%s: GitHub has no such thing", g.name)
	}
	if e.Resource != "" {
		u, err := url.Parse(e.Resource)
		fault(err != nil || !u.IsAbs() || u.Fragment != "", "resource: want an absolute URI without a fragment (RFC 8707)")
	}
	for _, acr := range e.ACRValues {
		fault(!validScope.MatchString(acr), "acr_values: %q is not a value without spaces", acr)
	}
	for p := range strings.FieldsSeq(e.Prompt) {
		fault(!slices.Contains([]string{"none", "login", "consent", "select_account"}, p), "prompt: %q is none of none, login, consent, select_account", p)
	}
	fault(e.Logout != "" && e.Logout != "provider" && e.Logout != "local", "logout: want provider or local")
	refresh, err := duration("refresh_every", e.RefreshEvery, defaultRefreshEvery)
	faults = append(faults, err)
	fault(refresh < leastRefreshEvery, "refresh_every: want at least %s", leastRefreshEvery)
	most, err := duration("max_session", e.MaxSession, 0)
	faults = append(faults, err)
	fault(most < 0 || most > 0 && most < time.Minute, "max_session: want at least 1m")
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}

	p := &signin.Provider{
		ID: e.ID, Name: e.Name, Issuer: e.Issuer, Rules: rules, RefreshEvery: refresh, MaxSession: most, LocalLogout: e.Logout == "local",
	}
	client := newHTTP(roots, local)
	if github {
		p.Issuer = strings.TrimSuffix(p.Issuer, "/")
		api := p.Issuer + "/api/v3" // GitHub Enterprise Server
		if p.Issuer == githubIssuer {
			api = "https://api.github.com"
		}
		p.Client = &GitHub{
			site: p.Issuer, api: api, credential: c, scopes: e.scopes(github), needGroups: rules.NeedGroups(), client: client, now: time.Now,
		}
		return p, nil
	}
	p.Client = &OIDC{
		issuer: e.Issuer, local: local, credential: c, scopes: e.scopes(github), resource: e.Resource, acrValues: e.ACRValues, prompt: e.Prompt,
		uiLocales: e.UILocales, groups: or(e.GroupsClaim, "groups"), needGroups: rules.NeedGroups(), trustEmail: e.TrustEmail, client: client, now: time.Now,
	}
	return p, nil
}

// rules returns the rules of the provider, with domains and addresses in lower case.
func (e *entry) rules() (signin.Rules, error) {
	r := signin.Rules{Roles: e.Roles, AllowGroups: e.Allow.Groups}
	var faults []error
	for group, roles := range e.Roles {
		if err := user.CheckRoles(roles...); err != nil {
			faults = append(faults, fmt.Errorf("roles: group %q: %w", group, err))
		}
	}
	for _, address := range e.Allow.Addresses {
		parsed, err := user.ParseEmail(address)
		if err != nil {
			faults = append(faults, fmt.Errorf("allow.addresses: %q is not an e-mail address", address))
		}
		r.AllowAddresses = append(r.AllowAddresses, parsed)
	}
	for _, domain := range e.Allow.Domains {
		if _, err := user.ParseEmail("x@" + domain); err != nil {
			faults = append(faults, fmt.Errorf("allow.domains: %q is not a domain such as example.com", domain))
		}
		r.AllowDomains = append(r.AllowDomains, strings.ToLower(domain))
	}
	if slices.Contains(e.Allow.Groups, "") {
		faults = append(faults, errors.New("allow.groups: a group is empty"))
	}
	return r, errors.Join(faults...)
}

func (e *entry) checkScopes(github bool) error {
	var faults []error
	for _, s := range e.Scopes {
		if !validScope.MatchString(s) {
			faults = append(faults, fmt.Errorf("scopes: %q is not a scope", s))
		}
	}
	if !github && len(e.Scopes) > 0 && !slices.Contains(e.Scopes, "openid") {
		faults = append(faults, errors.New("scopes: openid is missing"))
	}
	return errors.Join(faults...)
}

// scopes returns the configured scopes, or those that the settings need.
func (e *entry) scopes(github bool) []string {
	switch {
	case len(e.Scopes) > 0:
		return e.Scopes
	case !github:
		return []string{"openid", "profile", "email"}
	case e.Roles != nil || len(e.Allow.Groups) > 0:
		return []string{"user:email", "read:org"}
	}
	return []string{"user:email"}
}

func duration(setting, text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return otherwise, fmt.Errorf("%s: %q is not a duration such as 10m", setting, text)
	}
	return d, nil
}

// readRoots returns the certificates in a PEM file, or nil for the public authorities.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // the meaning of nil in crypto/tls
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file already
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate (PEM)", path)
	}
	return roots, nil
}

// probeEvery is how often Watch asks providers that are down, and how often it looks whether a
// discovery document is old.
const probeEvery = 15 * time.Second

// Watch keeps the discovery documents of the current providers at hand, so that the sign-in page
// knows who is down, and nobody waits for discovery. It reports changes to Down. It ends with ctx.
func Watch(ctx context.Context, current func() []*signin.Provider, changed func(p *signin.Provider, err error)) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	down := map[string]bool{}
	for {
		for _, p := range current() {
			prober, ok := p.Client.(interface{ Probe(context.Context) error })
			if !ok {
				continue
			}
			err := prober.Probe(ctx)
			if is := err != nil; is != down[p.ID] && ctx.Err() == nil {
				down[p.ID] = is
				changed(p, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
