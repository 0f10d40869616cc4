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

// generous rotates whatever it is shown.
type generous struct{ session.Store }

func (generous) Use(_ context.Context, f session.FamilyID, p session.Presentation) (session.Grant, error) {
	return session.Grant{Outcome: session.Rotated, Family: f, Generation: p.Generation + 1, KeyID: p.SuccessorKeyID, End: time.Now().Add(time.Hour)}, nil
}

type deaf struct{}

func (deaf) Refreshed(session.Outcome) {}
func (deaf) Ended(session.Record)      {}

type silent struct{ session.Stream }

func (silent) Lead(context.Context, string, time.Duration) (session.Lead, error) {
	return session.Lead{}, nil
}

// slow is Records that time out when they are given much at once, and once anyway.
type slow struct {
	*memory.Sessions

	seen  map[session.FamilyID]bool
	calls int
}

func (s *slow) See(_ context.Context, all []session.Sighting) error {
	if s.calls++; s.calls == 2 || len(all) > 1000 {
		return errors.New("a timeout")
	}
	for _, v := range all {
		s.seen[v.Family] = true
	}
	return nil
}

// TestSightingsAreWrittenInBatches: however many sessions were refreshed, each
// write stays small, and what a failed one held is written the next time.
func TestSightingsAreWrittenInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, records := ring(t, k1), &slow{Sessions: new(memory.Sessions), seen: map[session.FamilyID]bool{}}
		service := session.NewService(session.Config{
			Store: generous{}, Records: records, Stream: silent{}, Ring: func() *session.Ring { return r }, Now: time.Now, Observer: deaf{},
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
		<-time.After(31 * time.Second) // twice the time between writes, by the clock of the bubble
		synctest.Wait()
		stop()
		<-done
		if len(records.seen) != sessions || len(faults) != 1 {
			t.Errorf("%d of %d were written, with failures %v", len(records.seen), sessions, faults)
		}
	})
}
