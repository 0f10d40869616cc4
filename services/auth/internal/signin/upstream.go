package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

const (
	// checkTimeout bounds how long a refresh waits for the provider. A sidecar waits for 5 s.
	checkTimeout = 3 * time.Second
	// claimLife is how long a claimed check is nobody else's, and so how long after a failed check
	// the next one is.
	claimLife = time.Minute
	// accessMargin is how long before the end of an access token a new one is fetched.
	accessMargin = 30 * time.Second
)

// A ProviderSession is the session at the provider that bounds one of ours.
type ProviderSession struct {
	Family   session.FamilyID
	Provider string
	Identity
	// SID is the provider's ID of its session, or empty.
	SID string
	// Sealed are the Tokens, sealed with the ring.
	Sealed []byte
	// Check is from when on the next rotation asks the provider. The zero time means never.
	Check time.Time
}

// ProviderSessions keeps provider sessions as long as our sessions are live. Methods fail with
// session.ErrUnavailable, and with session.ErrNotFound where they say so.
type ProviderSessions interface {
	AddProvider(ctx context.Context, p ProviderSession) error
	// GetProvider fails with session.ErrNotFound.
	GetProvider(ctx context.Context, family session.FamilyID) (ProviderSession, error)
	// ClaimProvider moves a check that is due at now to until and returns its session. Of several
	// callers one succeeds. It fails with session.ErrNotFound if no check is due.
	ClaimProvider(ctx context.Context, family session.FamilyID, now, until time.Time) (ProviderSession, error)
	// UpdateProvider replaces the tokens and the time of the next check.
	UpdateProvider(ctx context.Context, family session.FamilyID, sealed []byte, check time.Time) error
	// FamiliesOf returns our sessions of a session at the provider or, if sid is empty, of all
	// sessions of its subject. If both are given, both must match.
	FamiliesOf(ctx context.Context, issuer, sid, subject string) ([]session.FamilyID, error)
}

// sealLabel is the purpose of sealed tokens; see session.Ring.Seal.
const sealLabel = "provider tokens"

// Bind stores the provider session of a session that Complete led to. It fails with
// session.ErrUnavailable; then the session must end.
func (s *Service) Bind(ctx context.Context, family session.FamilyID, r Result) error {
	sealed, err := s.seal(family, r.answer.Tokens)
	if err != nil {
		return err
	}
	p := ProviderSession{
		Family: family, Provider: r.provider.ID, Identity: Identity{r.provider.Issuer, r.answer.Subject}, SID: r.answer.SID, Sealed: sealed,
	}
	if r.answer.CanCheck {
		p.Check = s.nextCheck(r.provider, r.answer.Tokens)
	}
	return s.Sessions.AddProvider(ctx, p)
}

func (s *Service) nextCheck(p *Provider, t Tokens) time.Time {
	now := s.Now()
	next := now.Add(p.RefreshEvery)
	if early := t.Expires.Add(-accessMargin); !t.Expires.IsZero() && early.Before(next) {
		next = early
	}
	if soonest := now.Add(accessMargin); next.Before(soonest) {
		next = soonest
	}
	return next
}

func (s *Service) seal(family session.FamilyID, t Tokens) ([]byte, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("seal tokens: %w", err)
	}
	return s.Ring().Seal(sealLabel, string(family), text), nil
}

func (s *Service) open(p ProviderSession) (t Tokens, err error) {
	text, err := s.Ring().Open(sealLabel, string(p.Family), p.Sealed)
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("open tokens: %w", err)
	}
	return t, nil
}

// Over implements session.Upstream. If a check is due, it asks the provider. Only the provider's
// word that its session is over, another subject, or groups that may not sign in any more end ours.
func (s *Service) Over(ctx context.Context, g session.Grant) bool {
	p, err := s.Named(g.Provider)
	if err != nil {
		return false // taken out of the file: nobody to ask
	}
	// The provider may replace the refresh token, and that must be stored, whether or not somebody
	// still waits.
	ctx = context.WithoutCancel(ctx)
	now := s.Now()
	held, err := s.Sessions.ClaimProvider(ctx, g.Family, now, now.Add(claimLife))
	if errors.Is(err, session.ErrNotFound) {
		return false
	}
	var tokens Tokens
	if err == nil {
		tokens, err = s.open(held)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "a provider session cannot be checked", "provider", p.ID, "error", err)
		return false
	}
	over, err := s.check(ctx, p, held, tokens, g.Subject)
	if err != nil {
		s.Log.WarnContext(ctx, "a provider session could not be checked, and is checked again", "provider", p.ID, "error", err)
	}
	return over
}

func (s *Service) check(ctx context.Context, p *Provider, held ProviderSession, old Tokens, account string) (over bool, err error) {
	asking, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	a, err := p.Check(asking, old)
	switch {
	case errors.Is(err, ErrOver):
		return true, nil
	case err != nil:
		return false, err
	case a.Subject != "" && a.Subject != held.Subject:
		s.Log.WarnContext(ctx, "a provider refreshed the session of another subject", "provider", p.ID)
		return true, nil
	case a.GroupsKnown && !p.admitsGroups(a.Groups):
		return true, nil
	}
	if a.Tokens.Refresh == "" {
		a.Tokens.Refresh = old.Refresh
	}
	if a.Tokens.ID == "" {
		a.Tokens.ID = old.ID
	}
	if a.Tokens.Access == "" {
		a.Tokens.Access, a.Tokens.Expires = old.Access, old.Expires
	}
	sealed, err := s.seal(held.Family, a.Tokens)
	if err != nil {
		return false, err
	}
	if err := s.Sessions.UpdateProvider(ctx, held.Family, sealed, s.nextCheck(p, a.Tokens)); err != nil {
		return false, err
	}
	if !a.GroupsKnown {
		return false, nil
	}
	u, err := s.Users.ByID(ctx, account)
	if err == nil {
		err = s.applyRoles(ctx, p, &a, &u)
	}
	if errors.Is(err, user.ErrNotFound) {
		return false, nil // its sessions end with the account
	}
	return false, err
}

// LogoutURL returns where to sign out at the provider of a session that is still live, so that the
// browser comes back to returnTo. It returns "" if there is no such place, or nothing is known.
func (s *Service) LogoutURL(ctx context.Context, family session.FamilyID, returnTo string) string {
	held, err := s.Sessions.GetProvider(ctx, family)
	if err != nil {
		return ""
	}
	p, err := s.Named(held.Provider)
	if err != nil || p.LocalLogout {
		return ""
	}
	t, err := s.open(held)
	if err != nil {
		return ""
	}
	return p.LogoutURL(ctx, t.ID, returnTo)
}

// BackchannelLogout verifies a logout token of a provider and returns the sessions that it ends. It
// fails with ErrUnknownProvider, ErrLogoutToken, ErrProviderUnavailable or session.ErrUnavailable.
func (s *Service) BackchannelLogout(ctx context.Context, provider, token string) ([]session.FamilyID, error) {
	p, err := s.Named(provider)
	if err != nil {
		return nil, err
	}
	l, err := p.VerifyLogout(ctx, token)
	if err != nil {
		return nil, err
	}
	families, err := s.Sessions.FamiliesOf(ctx, p.Issuer, l.SID, l.Subject)
	if err != nil {
		return nil, err
	}
	// A replay ends nothing, because the user may have signed in again. The ID is recorded after the
	// lookup, so that the provider can retry if that fails.
	first, err := s.Replays.First(ctx, "logout\x00"+p.Issuer, l.ID, max(l.Expires.Sub(s.Now()), 0)+2*clockSkew)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	case !first:
		return nil, fmt.Errorf("%w: it was used before", ErrLogoutToken)
	}
	return families, nil
}
