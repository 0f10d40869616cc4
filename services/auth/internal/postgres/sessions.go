package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// Sessions is a session.Records that uses the connections of a Store.
type Sessions struct{ store *Store }

var _ session.Records = Sessions{}

// Sessions returns the session records in the same database.
func (s *Store) Sessions() Sessions { return Sessions{s} }

// do is Store.do with the errors of package session.
func (s Sessions) do(ctx context.Context, name string, operation func(context.Context, *queries.Queries) error) error {
	return inSessionTerms(s.store.do(ctx, name, func(ctx context.Context) error { return operation(ctx, s.store.queries) }))
}

func inSessionTerms(err error) error {
	switch {
	case err == nil, errors.Is(err, session.ErrAccountChanged):
		return err
	case errors.Is(err, user.ErrNotFound):
		return fmt.Errorf("%w: %w", session.ErrNotFound, err)
	}
	// Unexpected errors too: a bug or a broken schema must not end a session.
	return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
}

// Add implements session.Records. It locks the account: a concurrent change of the account either
// comes first and fails Add, or waits and then finds the new session.
func (s Sessions) Add(ctx context.Context, r session.Record, version int64, limit int) error {
	return inSessionTerms(s.store.inTx(ctx, "add session", func(ctx context.Context, q *queries.Queries) error {
		id, err := uuid.Parse(r.Subject)
		if err != nil {
			return err
		}
		if _, err := q.LockAccount(ctx, queries.LockAccountParams{ID: id, Version: version}); errors.Is(err, pgx.ErrNoRows) {
			return session.ErrAccountChanged
		} else if err != nil {
			return err
		}
		authenticated := &r.AuthTime
		if r.AuthTime.IsZero() {
			authenticated = nil
		}
		if err := q.AddSession(ctx, queries.AddSessionParams{
			Family: string(r.Family), UserID: id, Roles: append([]string{}, r.Roles...), Client: r.Client, Device: r.Device,
			BegunAt: r.Begun, EndsAt: r.End, Floor: int64(max(r.Floor, 1)), //nolint:gosec // generations are below 2^53
			AuthenticatedAt: authenticated, Provider: r.Provider, Acr: r.ACR,
		}); err != nil || limit == 0 {
			return err
		}
		return q.EndOldestSessions(ctx, queries.EndOldestSessionsParams{
			UserID: id, Now: &r.Begun, Reason: string(session.ReasonSessionLimit), Keep: int32(limit), //nolint:gosec // bounded by the setting
		})
	}))
}

// Get implements session.Records.
func (s Sessions) Get(ctx context.Context, family session.FamilyID) (r session.Record, err error) {
	err = s.do(ctx, "get session", func(ctx context.Context, q *queries.Queries) error {
		row, err := q.GetSession(ctx, string(family))
		if err == nil {
			r = toRecord(row)
		}
		return err
	})
	return r, err
}

// Live implements session.Records.
func (s Sessions) Live(ctx context.Context, subject string, now time.Time) (all []session.Record, err error) {
	err = s.do(ctx, "live sessions", func(ctx context.Context, q *queries.Queries) error {
		id, err := parseID(subject)
		if err != nil {
			return err
		}
		rows, err := q.LiveSessions(ctx, queries.LiveSessionsParams{UserID: id, Now: now})
		for _, row := range rows {
			all = append(all, toRecord(queries.GetSessionRow(row)))
		}
		return err
	})
	return all, err
}

// Revoke implements session.Records.
func (s Sessions) Revoke(ctx context.Context, w session.Which, reason session.Reason, now time.Time) error {
	return s.do(ctx, "revoke sessions", func(ctx context.Context, q *queries.Queries) error {
		var owner pgtype.UUID
		if w.Subject != "" {
			id, err := parseID(w.Subject)
			if err != nil {
				return err
			}
			owner = pgtype.UUID{Bytes: id, Valid: true}
		}
		if w.Family != "" {
			return q.RevokeSession(ctx, queries.RevokeSessionParams{
				Now: &now, Reason: string(reason), Family: string(w.Family), Client: w.Client, UserID: owner,
				GraceSeconds: reason.Grace().Seconds(),
			})
		}
		return q.RevokeSessionsOfUser(ctx, queries.RevokeSessionsOfUserParams{
			Now: &now, Reason: string(reason), UserID: owner.Bytes, ExceptFamily: string(w.Except), Client: w.Client,
			GraceSeconds: reason.Grace().Seconds(),
		})
	})
}

// PendingOf implements session.Records.
func (s Sessions) PendingOf(ctx context.Context, family session.FamilyID, subject string) (all []session.Revocation, err error) {
	err = s.do(ctx, "pending sessions", func(ctx context.Context, q *queries.Queries) error {
		if family != "" {
			rows, err := q.PendingRevocation(ctx, string(family))
			all = revocations(rows, func(r queries.PendingRevocationRow) (string, string) { return r.Family, r.Reason })
			return err
		}
		id, err := parseID(subject)
		if err != nil {
			return err
		}
		rows, err := q.PendingRevocationsOfUser(ctx, id)
		all = revocations(rows, func(r queries.PendingRevocationsOfUserRow) (string, string) { return r.Family, r.Reason })
		return err
	})
	return all, err
}

// Pending implements session.Records.
func (s Sessions) Pending(ctx context.Context, within time.Duration, limit int) (p session.Pending, err error) {
	err = s.do(ctx, "pending sessions", func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.PendingSessions(ctx, queries.PendingSessionsParams{WithinSeconds: within.Seconds(), Most: int32(limit)}) //nolint:gosec // the caller passes a constant
		for _, row := range rows {
			p.AsOf = row.DueAt
			if row.Ended {
				p.Ended = append(p.Ended, session.Revocation{Family: session.FamilyID(row.Family), Reason: session.Reason(row.Reason)})
			} else {
				p.Changed = append(p.Changed, session.FamilyID(row.Family))
			}
		}
		return err
	})
	return p, err
}

// Settle implements session.Records.
func (s Sessions) Settle(ctx context.Context, p session.Pending) (ended []session.Record, err error) {
	if len(p.Changed) > 0 {
		err = s.do(ctx, "settle changes", func(ctx context.Context, q *queries.Queries) error {
			return q.SettleChanges(ctx, queries.SettleChangesParams{Families: families(p.Changed), AsOf: &p.AsOf})
		})
	}
	if len(p.Ended) == 0 || err != nil {
		return nil, err
	}
	all := make([]session.FamilyID, 0, len(p.Ended))
	for _, r := range p.Ended {
		all = append(all, r.Family)
	}
	err = s.do(ctx, "settle revocations", func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.SettleRevocations(ctx, families(all))
		for _, row := range rows {
			ended = append(ended, toRecord(queries.GetSessionRow(row)))
		}
		return err
	})
	return ended, err
}

// page is how many rows one statement of RevokedSince or Prune handles.
const page = 1000

// RevokedSince implements session.Records.
func (s Sessions) RevokedSince(ctx context.Context, since time.Time, each func([]session.Revocation) error) error {
	for after := ""; ; {
		var rows []queries.RevokedSessionsRow
		err := s.do(ctx, "revoked sessions", func(ctx context.Context, q *queries.Queries) (err error) {
			rows, err = q.RevokedSessions(ctx, queries.RevokedSessionsParams{Since: since, After: after, Most: page})
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		last := rows[len(rows)-1]
		since, after = last.RevokedAt, last.Family
		if err := each(revocations(rows, func(r queries.RevokedSessionsRow) (string, string) { return r.Family, r.Reason })); err != nil {
			return err
		}
	}
}

// See implements session.Records.
func (s Sessions) See(ctx context.Context, sightings []session.Sighting) error {
	var p queries.SeeSessionsParams
	for _, v := range sightings {
		p.Families = append(p.Families, string(v.Family))
		p.Generations = append(p.Generations, int64(v.Generation)) //nolint:gosec // generations are below 2^53
		p.Times = append(p.Times, v.At)
	}
	return s.do(ctx, "see sessions", func(ctx context.Context, q *queries.Queries) error { return q.SeeSessions(ctx, p) })
}

// Prune implements session.Records.
func (s Sessions) Prune(ctx context.Context, before time.Time) error {
	for deleted := int64(page); deleted == page; {
		err := s.do(ctx, "prune sessions", func(ctx context.Context, q *queries.Queries) (err error) {
			deleted, err = q.PruneSessions(ctx, queries.PruneSessionsParams{Before: before, Most: page})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func families(all []session.FamilyID) []string {
	out := make([]string, len(all))
	for i, f := range all {
		out[i] = string(f)
	}
	return out
}

func revocations[R any](rows []R, parts func(R) (family, reason string)) []session.Revocation {
	all := make([]session.Revocation, 0, len(rows))
	for _, row := range rows {
		family, reason := parts(row)
		all = append(all, session.Revocation{Family: session.FamilyID(family), Reason: session.Reason(reason)})
	}
	return all
}

func toRecord(r queries.GetSessionRow) session.Record {
	out := session.Record{
		Family: session.FamilyID(r.Family), Subject: r.UserID.String(), Roles: r.Roles, Client: r.Client, Device: r.Device,
		Begun: r.BegunAt, Seen: r.SeenAt, End: r.EndsAt, Floor: uint64(r.Floor), Reason: session.Reason(r.Reason), //nolint:gosec // positive by constraint
		AuthTime: r.AuthenticatedAt, Provider: r.Provider, ACR: r.Acr,
	}
	if r.RevokedAt != nil {
		out.Revoked = *r.RevokedAt
	}
	return out
}
