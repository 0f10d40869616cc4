package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

var (
	_ signin.Identities       = (*Users)(nil)
	_ signin.ProviderSessions = (*Sessions)(nil)
)

// UserOf implements signin.Identities.
func (s *Users) UserOf(ctx context.Context, i signin.Identity) (user.User, error) {
	if err := ctx.Err(); err != nil {
		return user.User{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.get(s.identities[i].id)
}

// Link implements signin.Identities.
func (s *Users) Link(ctx context.Context, i signin.Identity, userID string, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.byID[userID]; !ok {
		return user.ErrNotFound
	}
	return s.link(i, userID, now)
}

// link is Link. The caller holds mu.
func (s *Users) link(i signin.Identity, userID string, now time.Time) error {
	if _, taken := s.identities[i]; taken {
		return signin.ErrLinked
	}
	if s.identities == nil {
		s.identities = map[signin.Identity]linked{}
	}
	s.identities[i] = linked{userID, now}
	return nil
}

// CreateLinked implements signin.Identities.
func (s *Users) CreateLinked(ctx context.Context, u user.User, i signin.Identity) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.identities[i]; taken {
		return signin.ErrLinked
	}
	if err := s.create(u); err != nil {
		return err
	}
	return s.link(i, u.ID, u.CreatedAt)
}

// IdentitiesOf implements signin.Identities.
func (s *Users) IdentitiesOf(ctx context.Context, userID string) ([]signin.Identity, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []signin.Identity
	for i, l := range s.identities {
		if l.id == userID {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b signin.Identity) int {
		return cmp.Or(s.identities[a].at.Compare(s.identities[b].at), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Subject, b.Subject))
	})
	return all, nil
}

// AddProvider implements signin.ProviderSessions.
func (s *Sessions) AddProvider(_ context.Context, p signin.ProviderSession) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.byID[p.Family]; ok && k.Revoked.IsZero() {
		k.provider = &p
	}
	return nil
}

// GetProvider implements signin.ProviderSessions.
func (s *Sessions) GetProvider(_ context.Context, family session.FamilyID) (signin.ProviderSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.byID[family]; ok && k.provider != nil {
		return *k.provider, nil
	}
	return signin.ProviderSession{}, session.ErrNotFound
}

// ClaimProvider implements signin.ProviderSessions.
func (s *Sessions) ClaimProvider(_ context.Context, family session.FamilyID, now, until time.Time) (signin.ProviderSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.byID[family]
	if !ok || k.provider == nil || k.provider.Check.IsZero() || k.provider.Check.After(now) {
		return signin.ProviderSession{}, session.ErrNotFound
	}
	k.provider.Check = until
	return *k.provider, nil
}

// UpdateProvider implements signin.ProviderSessions.
func (s *Sessions) UpdateProvider(_ context.Context, family session.FamilyID, sealed []byte, check time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.byID[family]; ok && k.provider != nil {
		k.provider.Sealed, k.provider.Check = sealed, check
	}
	return nil
}

// FamiliesOf implements signin.ProviderSessions.
func (s *Sessions) FamiliesOf(_ context.Context, issuer, sid, subject string) ([]session.FamilyID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []session.FamilyID
	for family, k := range s.byID {
		p := k.provider
		if p != nil && p.Issuer == issuer && (sid == "" || p.SID == sid) && (subject == "" || p.Subject == subject) && sid+subject != "" {
			all = append(all, family)
		}
	}
	return all, nil
}
