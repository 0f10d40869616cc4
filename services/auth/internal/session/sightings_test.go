package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/session"
)

// alwaysRotates is a Store that rotates every token.
type alwaysRotates struct{ session.Store }

func (alwaysRotates) Use(_ context.Context, f session.FamilyID, p session.Presentation) (session.Grant, error) {
	return session.Grant{Outcome: session.Rotated, Family: f, Generation: p.Generation + 1, KeyID: p.SuccessorKeyID, End: time.Now().Add(time.Hour)}, nil
}

type noObserver struct{}

func (noObserver) Refreshed(session.Outcome) {}
func (noObserver) Ended(session.Record)      {}

type neverLeads struct{ session.Stream }

func (neverLeads) Lead(context.Context, string, time.Duration) (session.Lead, error) {
	return session.Lead{}, nil
}

// slowRecords times out when a batch is too large, and once in any case.
type slowRecords struct {
	*memory.Sessions

	seen  map[session.FamilyID]bool
	calls int
}

func (s *slowRecords) See(_ context.Context, all []session.Sighting) error {
	if s.calls++; s.calls == 2 || len(all) > 1000 {
		return errors.New("a timeout")
	}
	for _, v := range all {
		s.seen[v.Family] = true
	}
	return nil
}

// TestSightingsAreWrittenInBatches checks that each write has a bounded size, and that a failed
// write is repeated.
func TestSightingsAreWrittenInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, records := ring(t, k1), &slowRecords{Sessions: new(memory.Sessions), seen: map[session.FamilyID]bool{}}
		service := session.NewService(session.Config{
			Store: alwaysRotates{}, Records: records, Stream: neverLeads{}, Ring: func() *session.Ring { return r }, Now: time.Now, Observer: noObserver{},
		})
		ctx, stop := context.WithCancel(t.Context())
		var faults []error
		done := make(chan struct{})
		go func() {
			service.Run(ctx, func(err error) { faults = append(faults, err) })
			close(done)
		}()
		const sessions = 2500
		for range sessions {
			text, err := r.Mint(session.Token{KeyID: r.SigningKey(), Family: session.NewFamilyID(), Generation: 7})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := service.Refresh(ctx, text, "app", session.Evidence{}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(31 * time.Second) // two writes, by the fake clock of synctest
		synctest.Wait()
		stop()
		<-done
		if len(records.seen) != sessions || len(faults) != 1 {
			t.Errorf("%d sightings written with failures %v, want %d with one failure", len(records.seen), faults, sessions)
		}
	})
}
