package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
)

// Sessions is a session.Records. The zero value is ready to use and takes accounts to never change;
// see New for accounts that do.
type Sessions struct {
	accounts *Users // nil if accounts never change

	mu   sync.Mutex
	byID map[session.FamilyID]*kept
}

type kept struct {
	session.Record

	provider *signin.ProviderSession // nil if there is none
	due      time.Time               // when the pending change is due; zero if nothing is pending
}

var _ session.Records = (*Sessions)(nil)

// Add implements session.Records.
func (s *Sessions) Add(_ context.Context, r session.Record, version int64, limit int) error {
	if s.accounts != nil {
		// Held until the session is stored, so that a change of the account finds it.
		s.accounts.mu.RLock()
		defer s.accounts.mu.RUnlock()
		if u, ok := s.accounts.byID[r.Subject]; !ok || u.Disabled || u.Version != version {
			return session.ErrAccountChanged
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[session.FamilyID]*kept{}
	}
	r.Roles = slices.Clone(r.Roles)
	r.Seen, r.Floor = r.Begun, max(r.Floor, 1)
	if r.AuthTime.IsZero() {
		r.AuthTime = r.Begun
	}
	s.byID[r.Family] = &kept{Record: r}
	if live := s.live(r.Subject, r.Begun); limit > 0 && len(live) > limit {
		for _, oldest := range live[limit:] {
			s.byID[oldest.Family].end(session.ReasonSessionLimit, r.Begun, 0)
		}
	}
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
	return s.live(subject, now), nil
}

// live is Live. The caller holds mu.
func (s *Sessions) live(subject string, now time.Time) []session.Record {
	var all []session.Record
	for _, k := range s.byID {
		if k.Subject == subject && k.Revoked.IsZero() && k.End.After(now) {
			all = append(all, k.copy())
		}
	}
	slices.SortFunc(all, func(a, b session.Record) int {
		return cmp.Or(b.Begun.Compare(a.Begun), cmp.Compare(a.Family, b.Family))
	})
	return all
}

// Revoke implements session.Records.
func (s *Sessions) Revoke(_ context.Context, w session.Which, reason session.Reason, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.byID {
		if k.Revoked.IsZero() && k.of(w.Family, w.Subject) && k.Family != w.Except && (w.Client == "" || w.Client == k.Client) {
			k.end(reason, now, reason.Grace())
		}
	}
	return nil
}

// PendingOf implements session.Records.
func (s *Sessions) PendingOf(_ context.Context, family session.FamilyID, subject string) ([]session.Revocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []session.Revocation
	for _, k := range s.byID {
		if !k.Revoked.IsZero() && !k.due.IsZero() && k.of(family, subject) {
			all = append(all, session.Revocation{Family: k.Family, Reason: k.Reason})
		}
	}
	return all, nil
}

// of reports whether k matches both family and subject. An empty one matches everything.
func (k *kept) of(family session.FamilyID, subject string) bool {
	return (family == "" || k.Family == family) && (subject == "" || k.Subject == subject)
}

// accountChanged ends the subject's sessions, except one, for reason. An empty reason gives them
// new roles instead.
func (s *Sessions) accountChanged(subject string, reason session.Reason, except session.FamilyID, roles []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.byID {
		if k.Subject != subject || !k.Revoked.IsZero() || k.Family == except {
			continue
		}
		if reason == "" {
			k.Roles, k.due = slices.Clone(roles), time.Now()
			continue
		}
		grace := time.Duration(0)
		if reason == session.ReasonPasswordChanged {
			grace = session.Grace
		}
		k.end(reason, time.Now(), grace)
	}
}

// Pending implements session.Records.
func (s *Sessions) Pending(_ context.Context, within time.Duration, limit int) (session.Pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []*kept
	for _, k := range s.byID {
		if !k.due.IsZero() && time.Until(k.due) <= within {
			old = append(old, k)
		}
	}
	slices.SortFunc(old, func(a, b *kept) int { return a.due.Compare(b.due) })
	var p session.Pending
	for _, k := range old[:min(len(old), limit)] {
		p.AsOf = k.due
		if k.Revoked.IsZero() {
			p.Changed = append(p.Changed, k.Family)
		} else {
			p.Ended = append(p.Ended, session.Revocation{Family: k.Family, Reason: k.Reason})
		}
	}
	return p, nil
}

// Settle implements session.Records.
func (s *Sessions) Settle(_ context.Context, p session.Pending) ([]session.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []session.Record
	for _, r := range p.Ended {
		if k, ok := s.byID[r.Family]; ok && !k.Revoked.IsZero() && !k.due.IsZero() {
			k.due = time.Time{}
			ended = append(ended, k.copy())
		}
	}
	for _, family := range p.Changed {
		if k, ok := s.byID[family]; ok && k.Revoked.IsZero() && !k.due.After(p.AsOf) {
			k.due = time.Time{}
		}
	}
	return ended, nil
}

// RevokedSince implements session.Records.
func (s *Sessions) RevokedSince(_ context.Context, since time.Time, each func([]session.Revocation) error) error {
	s.mu.Lock()
	var all []session.Revocation
	for _, k := range s.byID {
		if k.Revoked.After(since) {
			all = append(all, session.Revocation{Family: k.Family, Reason: k.Reason})
		}
	}
	s.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	return each(all)
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

func (k *kept) end(reason session.Reason, now time.Time, grace time.Duration) {
	k.provider = nil
	k.Revoked, k.Reason, k.due = now, reason, time.Now().Add(grace)
}

func (k *kept) copy() session.Record {
	r := k.Record
	r.Roles = slices.Clone(r.Roles)
	return r
}
