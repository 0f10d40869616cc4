package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// Sessions is a session.Records on the Store's connections.
type Sessions struct{ store *Store }

var _ session.Records = Sessions{}

// Sessions returns the durable half of sessions.
func (s *Store) Sessions() Sessions { return Sessions{s} }

// do is Store.do in the words of package session.
func (s Sessions) do(ctx context.Context, name string, operation func(context.Context, *queries.Queries) error) error {
	err := s.store.do(ctx, name, func(ctx context.Context) error { return operation(ctx, s.store.queries) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, user.ErrNotFound):
		return fmt.Errorf("%w: %w", session.ErrNotFound, err)
	}
	// Also what the Store calls unforeseen: no fault of ours may end a session.
	return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
}

// Add implements session.Records.
func (s Sessions) Add(ctx context.Context, r session.Record) error {
	return s.do(ctx, "add session", func(ctx context.Context, q *queries.Queries) error {
		id, err := uuid.Parse(r.Subject)
		if err != nil {
			return err
		}
		return q.AddSession(ctx, queries.AddSessionParams{
			Family: string(r.Family), UserID: id, Roles: append([]string{}, r.Roles...), Client: r.Client, Device: r.Device,
			BegunAt: r.Begun, EndsAt: r.End, Floor: int64(max(r.Floor, 1)), //nolint:gosec // generations are below 2^53
		})
	})
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
func (s Sessions) Revoke(ctx context.Context, w session.Which, reason session.Reason, now time.Time) (ended []session.Revocation, err error) {
	err = s.do(ctx, "revoke sessions", func(ctx context.Context, q *queries.Queries) error {
		if w.Family != "" {
			ended, err = revokeOne(ctx, q, w, reason, now)
		} else {
			ended, err = revokeUser(ctx, q, w, reason, now)
		}
		return err
	})
	return ended, err
}

func revokeOne(ctx context.Context, q *queries.Queries, w session.Which, reason session.Reason, now time.Time) ([]session.Revocation, error) {
	var owner pgtype.UUID
	if w.Subject != "" {
		id, err := parseID(w.Subject)
		if err != nil {
			return nil, err
		}
		owner = pgtype.UUID{Bytes: id, Valid: true}
	}
	if err := q.RevokeSession(ctx, queries.RevokeSessionParams{
		Now: &now, Reason: string(reason), Family: string(w.Family), Client: w.Client, UserID: owner,
	}); err != nil {
		return nil, err
	}
	rows, err := q.UnpropagatedSession(ctx, string(w.Family))
	return revocations(rows, func(r queries.UnpropagatedSessionRow) (string, string) { return r.Family, r.Reason }), err
}

func revokeUser(ctx context.Context, q *queries.Queries, w session.Which, reason session.Reason, now time.Time) ([]session.Revocation, error) {
	id, err := parseID(w.Subject)
	if err != nil {
		return nil, err
	}
	if err := q.RevokeSessionsOfUser(ctx, queries.RevokeSessionsOfUserParams{
		Now: &now, Reason: string(reason), UserID: id, ExceptFamily: string(w.Except), Client: w.Client,
	}); err != nil {
		return nil, err
	}
	rows, err := q.UnpropagatedSessionsOfUser(ctx, id)
	return revocations(rows, func(r queries.UnpropagatedSessionsOfUserRow) (string, string) { return r.Family, r.Reason }), err
}

// Unpropagated implements session.Records.
func (s Sessions) Unpropagated(ctx context.Context, stream session.Window, now time.Time, limit int) (all []session.Revocation, err error) {
	err = s.do(ctx, "unpropagated sessions", func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.UnpropagatedSessions(ctx, queries.UnpropagatedSessionsParams{
			Last: place(stream.Last), Since: place(stream.Since), Present: families(stream.Present),
			Now: now, Most: int32(limit), //nolint:gosec // a constant of the caller
		})
		all = revocations(rows, func(r queries.UnpropagatedSessionsRow) (string, string) { return r.Family, r.Reason })
		return err
	})
	return all, err
}

// Propagated implements session.Records.
func (s Sessions) Propagated(ctx context.Context, family session.FamilyID, mark session.Mark) (first bool, err error) {
	err = s.do(ctx, "mark propagated", func(ctx context.Context, q *queries.Queries) error {
		first, err = q.MarkPropagated(ctx, queries.MarkPropagatedParams{Mark: place(mark), Family: string(family)})
		return err
	})
	if errors.Is(err, session.ErrNotFound) { // pruned, or none that was ended
		return false, nil
	}
	return first, err
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
	return s.do(ctx, "prune sessions", func(ctx context.Context, q *queries.Queries) error { return q.PruneSessions(ctx, before) })
}

func families(all []session.FamilyID) []string {
	out := make([]string, len(all))
	for i, f := range all {
		out[i] = string(f)
	}
	return out
}

func place(m session.Mark) pgtype.Int8 { return pgtype.Int8{Int64: int64(m), Valid: true} }

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
	}
	if r.RevokedAt != nil {
		out.Revoked = *r.RevokedAt
	}
	return out
}
