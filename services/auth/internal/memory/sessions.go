package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// Sessions is a session.Records. The zero value is empty and ready.
type Sessions struct {
	mu   sync.Mutex
	byID map[session.FamilyID]*kept
}

type kept struct {
	session.Record

	propagated session.Mark // 0 while the stream has not got it
}

var _ session.Records = (*Sessions)(nil)

// Add implements session.Records.
func (s *Sessions) Add(_ context.Context, r session.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[session.FamilyID]*kept{}
	}
	r.Roles = slices.Clone(r.Roles)
	r.Seen, r.Floor = r.Begun, max(r.Floor, 1)
	s.byID[r.Family] = &kept{Record: r}
	return nil
}

// Get implements session.Records.
func (s *Sessions) Get(_ context.Context, family session.FamilyID) (session.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.byID[family]
	if !ok {
		return session.Record{}, session.ErrNotFound
	}
	return k.copy(), nil
}

// Live implements session.Records.
func (s *Sessions) Live(_ context.Context, subject string, now time.Time) ([]session.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []session.Record
	for _, k := range s.byID {
		if k.Subject == subject && k.Revoked.IsZero() && k.End.After(now) {
			all = append(all, k.copy())
		}
	}
	slices.SortFunc(all, func(a, b session.Record) int {
		return cmp.Or(b.Begun.Compare(a.Begun), cmp.Compare(a.Family, b.Family))
	})
	return all, nil
}

// Revoke implements session.Records.
func (s *Sessions) Revoke(_ context.Context, w session.Which, reason session.Reason, now time.Time) ([]session.Revocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []session.Revocation
	for _, k := range s.byID {
		if w.Family != "" && k.Family != w.Family || w.Family == "" && (k.Subject != w.Subject || k.Family == w.Except) {
			continue
		}
		if k.Revoked.IsZero() && (w.Client == "" || w.Client == k.Client) && (w.Subject == "" || w.Subject == k.Subject) {
			k.Revoked, k.Reason = now, reason
		}
		if !k.Revoked.IsZero() && k.propagated == 0 {
			all = append(all, session.Revocation{Family: k.Family, Reason: k.Reason})
		}
	}
	return all, nil
}

// Unpropagated implements session.Records.
func (s *Sessions) Unpropagated(_ context.Context, stream session.Window, now time.Time, limit int) ([]session.Revocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []session.Revocation
	for _, k := range s.byID {
		if len(all) < limit && !k.Revoked.IsZero() && k.End.After(now) && k.lost(stream) {
			all = append(all, session.Revocation{Family: k.Family, Reason: k.Reason})
		}
	}
	return all, nil
}

// lost reports whether the stream has not got it.
func (k *kept) lost(stream session.Window) bool {
	return k.propagated == 0 || k.propagated > stream.Last || k.propagated > stream.Since && !slices.Contains(stream.Present, k.Family)
}

// Propagated implements session.Records.
func (s *Sessions) Propagated(_ context.Context, family session.FamilyID, mark session.Mark) (first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.byID[family]; ok && !k.Revoked.IsZero() {
		first, k.propagated = k.propagated == 0, mark
	}
	return first, nil
}

// See implements session.Records.
func (s *Sessions) See(_ context.Context, sightings []session.Sighting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range sightings {
		if k, ok := s.byID[v.Family]; ok && k.Revoked.IsZero() {
			k.Floor = max(k.Floor, v.Generation)
			if v.At.After(k.Seen) {
				k.Seen = v.At
			}
		}
	}
	return nil
}

// Prune implements session.Records.
func (s *Sessions) Prune(_ context.Context, before time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.byID {
		if k.End.Before(before) {
			delete(s.byID, id)
		}
	}
	return nil
}

func (k *kept) copy() session.Record {
	r := k.Record
	r.Roles = slices.Clone(r.Roles)
	return r
}
