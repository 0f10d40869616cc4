package redis

import (
	"context"
	"embed"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/redistest"
)

//go:embed testdata/previous-*.lua
var previousLua embed.FS

// previous is the store of the release before this one: its very scripts, with
// the arguments that it gave them.
type previous struct{ *Families }

func newPrevious(f *Families) previous {
	script := func(name string) *redis.Script {
		text, err := previousLua.ReadFile("testdata/previous-" + name + ".lua")
		if err != nil {
			panic(err) // it is embedded
		}
		return redis.NewScript(string(text))
	}
	p := *f
	p.begin, p.use, p.confirm, p.revoke = script("begin"), script("use"), script("confirm"), script("revoke")
	return previous{&p}
}

func (f previous) Begin(ctx context.Context, b session.Beginning) error {
	made, err := f.begin.Run(ctx, f.client, []string{key(b.Family)},
		b.Subject, strings.Join(b.Roles, " "), b.Client, b.KeyID,
		millis(b.AuthTime), millis(b.End), f.policy.Idle.Milliseconds(), f.clock(), b.Generation, millis(b.Rotated)).Int()
	if err == nil && made == 0 {
		return session.ErrExists
	}
	return err
}

func (f previous) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	answer, err := f.use.Run(ctx, f.client, []string{key(family)},
		p.Generation, p.Client, p.KeyID, p.Presenter, p.SuccessorKeyID,
		f.policy.Overlap.Milliseconds(), f.policy.MinInterval.Milliseconds(), f.policy.Idle.Milliseconds(), f.clock()).StringSlice()
	if err != nil {
		return session.Grant{}, err
	}
	return parseGrant(family, answer)
}

func (f previous) Revoke(ctx context.Context, family session.FamilyID, client string, reason session.Reason) (bool, error) {
	ended, err := f.revoke.Run(ctx, f.client, []string{key(family)}, client, string(reason), endedMemory.Milliseconds()).Int()
	return ended == 1, err
}

// upgraded is a store before each of whose steps the family is turned into what
// the release before would have there.
type upgraded struct {
	*Families

	before previous
}

var downgrade = redis.NewScript(`
local key = KEYS[1]
local v = redis.call('HMGET', key, 'G', 'T', 'F', 'D', 'S', 'O', 'C', 'K', 'A', 'E')
if not v[1] then return 0 end
local function flag(name) return v[3]:find(name) and '1' or '0' end
redis.call('HSET', key, 'g', v[1], 't', v[2], 'c', flag('c'), 'l', flag('l'), 'n', flag('n'), 'd', v[4],
  'u', v[5], 'o', v[6], 'p', v[7], 'k', v[8], 'a', v[9], 'e', v[10])
return redis.call('HDEL', key, 'G', 'T', 'F', 'D', 'S', 'O', 'C', 'K', 'A', 'E')`)

func (u upgraded) Begin(ctx context.Context, b session.Beginning) error {
	return u.before.Begin(ctx, b)
}

func (u upgraded) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	if err := downgrade.Run(ctx, u.client, []string{key(family)}).Err(); err != nil {
		return session.Grant{}, err
	}
	return u.Families.Use(ctx, family, p)
}

func (u upgraded) Confirm(ctx context.Context, family session.FamilyID, generation uint64) error {
	if err := downgrade.Run(ctx, u.client, []string{key(family)}).Err(); err != nil {
		return err
	}
	return u.Families.Confirm(ctx, family, generation)
}

func (u upgraded) Revoke(ctx context.Context, family session.FamilyID, client string, reason session.Reason) (bool, error) {
	if err := downgrade.Run(ctx, u.client, []string{key(family)}).Err(); err != nil {
		return false, err
	}
	return u.Families.Revoke(ctx, family, client, reason)
}

// TestT95_Upgrade runs the conformance suite, and with it the comparison with
// Decide, on families of the release before.
func TestT95_Upgrade(t *testing.T) {
	client := redistest.New(t)
	storetest.Families(t, func(policy session.Policy, now func() time.Time) session.Store {
		f := NewFamilies(client, policy).WithClock(now)
		return upgraded{f, newPrevious(f)}
	})
}

// TestT95_Rollback: the release before takes what this one writes for no family
// and goes on from the record, and this one goes on from there.
func TestT95_Rollback(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	client := redistest.New(t)
	ring, err := session.ParseRing([]byte(session.NewRingLine()))
	if err != nil {
		t.Fatal(err)
	}
	today := NewFamilies(client, session.Policy{Overlap: 10 * time.Second, Idle: 24 * time.Hour}).WithClock(clock)
	records := new(memory.Sessions)
	service := func(store session.Store) *session.Service {
		return session.NewService(session.Config{
			Store: store, Records: records, Stream: NewStream(client, time.Hour), Ring: func() *session.Ring { return ring },
			Absolute: 48 * time.Hour, Rebuild: true, Now: clock, Observer: deaf{},
		})
	}
	newer, older := service(today), service(newPrevious(today))
	const subject = "01998a7e-58c5-7a4c-8f35-0c4b1f6f2a11"
	s, err := newer.Begin(t.Context(), subject, []string{"keeper"}, "pond/frogs", "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	first := s.RefreshToken
	refresh := func(by *session.Service, want session.Outcome) {
		t.Helper()
		now = now.Add(time.Minute)
		next, err := by.Refresh(t.Context(), s.RefreshToken, "pond/frogs", session.Presenter{})
		if err != nil || next.Outcome != want || next.Generation != s.Generation+1 || next.Subject != subject || strings.Join(next.Roles, " ") != "keeper" {
			t.Fatalf("%+v, %v, want %s of generation %d", next, err, want, s.Generation+1)
		}
		s = next
	}
	refresh(newer, session.Rotated)
	refresh(older, session.Rebuilt) // rolled back
	refresh(older, session.Rotated)
	refresh(newer, session.Rotated) // and forward
	refresh(newer, session.Rotated)
	refresh(older, session.Rebuilt) // both at once, as while they are replaced
	refresh(newer, session.Rotated)
	refresh(older, session.Rebuilt)

	if _, err := older.Refresh(t.Context(), s.RefreshToken, "pond/toads", session.Presenter{}); !errors.Is(err, session.ErrInvalidClient) {
		t.Errorf("another client before: %v", err)
	}
	if _, err := newer.Refresh(t.Context(), s.RefreshToken, "pond/toads", session.Presenter{}); !errors.Is(err, session.ErrInvalidClient) {
		t.Errorf("another client: %v", err)
	}
	if got, err := newer.Refresh(t.Context(), first, "pond/frogs", session.Presenter{}); got.Outcome != session.Reused {
		t.Fatalf("a stale token: %s, %v", got.Outcome, err)
	}
	for name, by := range map[string]*session.Service{"before": older, "today": newer} {
		if _, err := by.Refresh(t.Context(), s.RefreshToken, "pond/frogs", session.Presenter{}); !errors.Is(err, session.ErrInvalidGrant) {
			t.Errorf("%s, after the end: %v", name, err)
		}
	}
}

func TestT95_AFamilyOfThePreviousReleaseIsNotBegunAgain(t *testing.T) {
	today := NewFamilies(redistest.New(t), session.Policy{Idle: time.Hour})
	b := session.Beginning{Family: session.NewFamilyID(), Generation: 1, Subject: "u", Client: "app", KeyID: "k", End: time.Now().Add(time.Hour)}
	if err := newPrevious(today).Begin(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := today.Begin(t.Context(), b); !errors.Is(err, session.ErrExists) {
		t.Errorf("%v", err)
	}
}

type deaf struct{}

func (deaf) Refreshed(session.Outcome) {}
func (deaf) Ended(session.Record)      {}

func TestSubjectsArePacked(t *testing.T) {
	for subject, size := range map[string]int{
		"01998a7e-58c5-7a4c-8f35-0c4b1f6f2a11": 17, "01998A7E-58C5-7A4C-8F35-0C4B1F6F2A11": 36, "u1": 2, "": 0, "sixteen letters.": 16,
		"urn:uuid:01998a7e-58c5-7a4c-8f35-0c4b1f6f2a11": 45,
	} {
		packed := packSubject(subject)
		if got := unpackSubject(packed); got != subject || len(packed) != size {
			t.Errorf("%q became %q (%d bytes), then %q", subject, packed, len(packed), got)
		}
	}
}
