package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lilypad.example/services/auth/internal/user"
)

// ErrLinked means that an identity belongs to an account already.
var ErrLinked = errors.New("signin: the identity is linked already")

// An Identity is who somebody is at a provider. Only issuer and subject together are stable and
// unique (OpenID Connect Core section 5.7).
type Identity struct{ Issuer, Subject string }

// Identities keeps which account an identity belongs to. When an account is deleted, so are its
// identities. Methods fail with user.ErrUnavailable and with the errors that they name.
type Identities interface {
	// UserOf returns the account of an identity. It fails with user.ErrNotFound.
	UserOf(ctx context.Context, i Identity) (user.User, error)
	// Link connects an identity to an account. It fails with ErrLinked or user.ErrNotFound.
	Link(ctx context.Context, i Identity, userID string, now time.Time) error
	// CreateLinked creates an account and connects the identity to it, or does neither. It fails
	// with ErrLinked or user.ErrEmailTaken.
	CreateLinked(ctx context.Context, u user.User, i Identity) error
	// IdentitiesOf returns the identities of an account, the oldest first.
	IdentitiesOf(ctx context.Context, userID string) ([]Identity, error)
}

// Rules say who may sign in with a provider, and as what.
type Rules struct {
	// Roles maps groups to roles. Nil leaves the roles of accounts to operators.
	Roles map[string][]string
	// AllowGroups, if not empty, are the groups of which users must be in one.
	AllowGroups []string
	// AllowDomains and AllowAddresses, if one is not empty, are the e-mail domains and addresses of
	// which users must have one.
	AllowDomains, AllowAddresses []string
}

// NeedGroups reports whether the rules ask for the groups of a user.
func (r *Rules) NeedGroups() bool { return r.Roles != nil || len(r.AllowGroups) > 0 }

// admitsGroups reports whether members of groups may sign in.
func (r *Rules) admitsGroups(groups []string) bool {
	return len(r.AllowGroups) == 0 || slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(r.AllowGroups, g) })
}

// admitsEmail reports whether the owner of a verified address may sign in.
func (r *Rules) admitsEmail(email string) bool {
	if len(r.AllowDomains)+len(r.AllowAddresses) == 0 {
		return true
	}
	_, domain, _ := strings.Cut(email, "@")
	return email != "" && (slices.Contains(r.AllowDomains, domain) || slices.Contains(r.AllowAddresses, email))
}

// rolesOf returns the roles of members of groups, sorted.
func (r *Rules) rolesOf(groups []string) []string {
	roles := []string{}
	for _, g := range groups {
		roles = append(roles, r.Roles[g]...)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// clockSkew is how far the clocks of a provider and of this service may differ.
const clockSkew = time.Minute

// tries is how often the account of a new identity is looked up. Two sign-ins of one person at the
// same time create one account: the one that was slower looks again.
const tries = 3

// admit applies the rules and finds, connects or creates the account of r.answer.
func (s *Service) admit(ctx context.Context, r *Result, f Flow) error {
	p, a := r.provider, &r.answer
	if f.MaxAge != nil && a.AuthTime.Add(time.Duration(*f.MaxAge)*time.Second).Before(f.Begun.Add(-clockSkew)) {
		return s.stepUpFailed(ctx, p, "max_age", fmt.Errorf("auth_time is %v, want at most %d s before %v", a.AuthTime, *f.MaxAge, f.Begun))
	}
	if len(f.ACRValues) > 0 && !slices.Contains(f.ACRValues, a.ACR) {
		return s.stepUpFailed(ctx, p, "acr_values", fmt.Errorf("acr is %.100q, want one of %q", a.ACR, f.ACRValues))
	}
	email := ""
	if parsed, err := user.ParseEmail(a.Email); err == nil {
		email = parsed
	}
	switch {
	case p.NeedGroups() && a.Overage:
		return &Refusal{Code: GroupsOverage}
	case !p.admitsGroups(a.Groups):
		return &Refusal{Code: NotAllowed}
	case len(p.AllowDomains)+len(p.AllowAddresses) > 0 && !a.EmailVerified:
		return &Refusal{Code: emailFault(email)}
	case !p.admitsEmail(email):
		return &Refusal{Code: NotAllowed}
	}
	id := Identity{p.Issuer, a.Subject}
	var err error
	for range tries {
		if err = s.findAccount(ctx, r, f, id, email); !errors.Is(err, ErrLinked) && !errors.Is(err, user.ErrEmailTaken) {
			break
		}
	}
	switch {
	case err != nil:
		return err
	case r.User.Disabled:
		return &Refusal{Code: AccountDisabled, UserID: r.User.ID}
	case f.Account != "" && f.Account != r.User.ID:
		return &Refusal{Code: StepUpFailed, UserID: r.User.ID}
	}
	return s.applyRoles(ctx, p, a, &r.User)
}

// stepUpFailed logs which setting the provider did not comply with.
func (s *Service) stepUpFailed(ctx context.Context, p *Provider, setting string, err error) error {
	s.Log.WarnContext(ctx, "a provider did not ask for credentials as it should", "provider", p.ID, "setting", setting, "error", err)
	return &Refusal{Code: StepUpFailed, err: err}
}

func emailFault(email string) Code {
	if email == "" {
		return EmailMissing
	}
	return EmailUnverified
}

// findAccount sets r.User to the account of id. An identity that is new is connected to the account
// of the flow, or to the account with the same verified address, unless that has a password: the
// owner of the address may not be the owner of the password.
func (s *Service) findAccount(ctx context.Context, r *Result, f Flow, id Identity, email string) (err error) {
	if r.User, err = s.Identities.UserOf(ctx, id); !errors.Is(err, user.ErrNotFound) {
		return err
	}
	if f.Link {
		if r.User, err = s.Users.ByID(ctx, f.Account); err != nil {
			return err
		}
		return s.link(ctx, r, id)
	}
	if f.Account != "" { // a step-up of another account: neither connect nor create one
		return &Refusal{Code: StepUpFailed}
	}
	if email == "" || !r.answer.EmailVerified {
		return &Refusal{Code: emailFault(email)}
	}
	r.User, err = s.Users.ByEmail(ctx, email)
	switch {
	case errors.Is(err, user.ErrNotFound):
		r.User, err = user.WithoutPassword(email, r.answer.Name, s.Now())
		if err != nil {
			return err
		}
		if err := s.Identities.CreateLinked(ctx, r.User, id); err != nil {
			return err
		}
		r.Created = true
		return nil
	case err != nil:
		return err
	case r.User.PasswordHash != "":
		return &Refusal{Code: EmailHasPassword, UserID: r.User.ID}
	}
	return s.link(ctx, r, id)
}

func (s *Service) link(ctx context.Context, r *Result, id Identity) error {
	if r.User.Disabled {
		return nil // the caller refuses it
	}
	if err := s.Identities.Link(ctx, id, r.User.ID, s.Now()); err != nil {
		return err
	}
	r.Linked = true
	return nil
}

// applyRoles gives the account the roles that the provider's groups mean, if it has a map of them.
func (s *Service) applyRoles(ctx context.Context, p *Provider, a *Answer, u *user.User) error {
	if p.Roles == nil {
		return nil
	}
	roles := p.rolesOf(a.Groups)
	if slices.Equal(roles, u.Roles) {
		return nil
	}
	if _, err := s.Users.SetRoles(ctx, u.Email, roles); err != nil {
		return err
	}
	changed, err := s.Users.ByID(ctx, u.ID)
	if err == nil {
		*u = changed
	}
	return err
}
