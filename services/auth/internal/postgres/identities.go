package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

var (
	_ signin.Identities       = (*Store)(nil)
	_ signin.ProviderSessions = Sessions{}
)

// UserOf implements signin.Identities.
func (s *Store) UserOf(ctx context.Context, i signin.Identity) (u user.User, err error) {
	err = s.do(ctx, "user by identity", func(ctx context.Context) error {
		row, err := s.queries.UserByIdentity(ctx, queries.UserByIdentityParams{Issuer: i.Issuer, Subject: i.Subject})
		if err == nil {
			u = fromRow(queries.UserByIDRow(row))
		}
		return err
	})
	return u, err
}

// Link implements signin.Identities.
func (s *Store) Link(ctx context.Context, i signin.Identity, userID string, now time.Time) error {
	return s.do(ctx, "link identity", func(ctx context.Context) error {
		key, err := parseID(userID)
		if err != nil {
			return err
		}
		return s.queries.AddIdentity(ctx, queries.AddIdentityParams{Issuer: i.Issuer, Subject: i.Subject, UserID: key, LinkedAt: now})
	})
}

// CreateLinked implements signin.Identities.
func (s *Store) CreateLinked(ctx context.Context, u user.User, i signin.Identity) error {
	id, err := uuid.Parse(u.ID)
	if err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	return s.inTx(ctx, "create user with identity", func(ctx context.Context, q *queries.Queries) error {
		if err := q.CreateUser(ctx, createParams(id, u)); err != nil {
			return err
		}
		return q.AddIdentity(ctx, queries.AddIdentityParams{Issuer: i.Issuer, Subject: i.Subject, UserID: id, LinkedAt: u.CreatedAt})
	})
}

// IdentitiesOf implements signin.Identities.
func (s *Store) IdentitiesOf(ctx context.Context, userID string) (all []signin.Identity, err error) {
	err = s.do(ctx, "identities of user", func(ctx context.Context) error {
		key, err := parseID(userID)
		if err != nil {
			return err
		}
		rows, err := s.queries.IdentitiesOfUser(ctx, key)
		for _, row := range rows {
			all = append(all, signin.Identity(row))
		}
		return err
	})
	return all, err
}

// AddProvider implements signin.ProviderSessions.
func (s Sessions) AddProvider(ctx context.Context, p signin.ProviderSession) error {
	return s.do(ctx, "add provider session", func(ctx context.Context, q *queries.Queries) error {
		return q.AddProviderSession(ctx, queries.AddProviderSessionParams{
			Family: string(p.Family), Provider: p.Provider, Issuer: p.Issuer, Subject: p.Subject, Sid: p.SID, Sealed: p.Sealed, CheckAt: orNull(p.Check),
		})
	})
}

// GetProvider implements signin.ProviderSessions.
func (s Sessions) GetProvider(ctx context.Context, family session.FamilyID) (p signin.ProviderSession, err error) {
	err = s.do(ctx, "get provider session", func(ctx context.Context, q *queries.Queries) error {
		row, err := q.GetProviderSession(ctx, string(family))
		p = toProviderSession(row)
		return err
	})
	return p, err
}

// ClaimProvider implements signin.ProviderSessions.
func (s Sessions) ClaimProvider(ctx context.Context, family session.FamilyID, now, until time.Time) (p signin.ProviderSession, err error) {
	err = s.do(ctx, "claim provider session", func(ctx context.Context, q *queries.Queries) error {
		row, err := q.ClaimProviderSession(ctx, queries.ClaimProviderSessionParams{Family: string(family), Now: &now, Until: &until})
		p = toProviderSession(row)
		return err
	})
	return p, err
}

// UpdateProvider implements signin.ProviderSessions.
func (s Sessions) UpdateProvider(ctx context.Context, family session.FamilyID, sealed []byte, check time.Time) error {
	return s.do(ctx, "update provider session", func(ctx context.Context, q *queries.Queries) error {
		return q.UpdateProviderSession(ctx, queries.UpdateProviderSessionParams{Family: string(family), Sealed: sealed, CheckAt: orNull(check)})
	})
}

// FamiliesOf implements signin.ProviderSessions.
func (s Sessions) FamiliesOf(ctx context.Context, issuer, sid, subject string) (all []session.FamilyID, err error) {
	err = s.do(ctx, "families of provider session", func(ctx context.Context, q *queries.Queries) error {
		var rows []string
		var err error
		if sid != "" {
			rows, err = q.FamiliesOfSid(ctx, queries.FamiliesOfSidParams{Issuer: issuer, Sid: sid, Subject: subject})
		} else {
			rows, err = q.FamiliesOfSubject(ctx, queries.FamiliesOfSubjectParams{Issuer: issuer, Subject: subject})
		}
		for _, family := range rows {
			all = append(all, session.FamilyID(family))
		}
		return err
	})
	return all, err
}

func toProviderSession(r queries.ProviderSession) signin.ProviderSession {
	p := signin.ProviderSession{
		Family: session.FamilyID(r.Family), Provider: r.Provider, Identity: signin.Identity{Issuer: r.Issuer, Subject: r.Subject}, SID: r.Sid, Sealed: r.Sealed,
	}
	if r.CheckAt != nil {
		p.Check = *r.CheckAt
	}
	return p
}

// orNull returns nil for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
