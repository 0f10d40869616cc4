// Package redis keeps refresh-token families, one hash a family, through Lua
// scripts that are each one atomic step. It serves Redis itself (single,
// Sentinel or Cluster) and, for a local run, an embedded miniredis: there is
// no second implementation of families.
package redis

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

var (
	//go:embed begin.lua
	beginLua string
	//go:embed use.lua
	useLua string
	//go:embed confirm.lua
	confirmLua string
	//go:embed revoke.lua
	revokeLua string
)

// endedMemory is how long the end of a family that is not here is remembered:
// far longer than a rebuilding replica takes between its looks at the record.
const endedMemory = time.Hour

// Families is a session.Store.
type Families struct {
	client                      redis.UniversalClient
	policy                      session.Policy
	now                         func() time.Time // nil for the server's clock
	begin, use, confirm, revoke *redis.Script
}

var _ session.Store = (*Families)(nil)

// NewFamilies returns the families in client under policy. Time is Redis's own.
func NewFamilies(client redis.UniversalClient, policy session.Policy) *Families {
	return &Families{
		client: client, policy: policy,
		begin: redis.NewScript(beginLua), use: redis.NewScript(useLua),
		confirm: redis.NewScript(confirmLua), revoke: redis.NewScript(revokeLua),
	}
}

// WithClock returns families whose time is now's, for tests of long histories.
func (f *Families) WithClock(now func() time.Time) *Families {
	c := *f
	c.now = now
	return &c
}

// Begin implements session.Store.
func (f *Families) Begin(ctx context.Context, b session.Beginning) error {
	made, err := f.begin.Run(ctx, f.client, []string{key(b.Family)},
		packSubject(b.Subject), strings.Join(b.Roles, " "), digest(b.Client), b.KeyID,
		millis(b.AuthTime), millis(b.End), f.policy.Idle.Milliseconds(), f.clock(),
		b.Generation, millis(b.Rotated)).Int()
	switch {
	case err != nil:
		return unavailable("begin", err)
	case made == 0:
		return session.ErrExists
	}
	return nil
}

// Use implements session.Store.
func (f *Families) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	answer, err := f.use.Run(ctx, f.client, []string{key(family)},
		p.Generation, digest(p.Client), p.KeyID, p.Presenter, p.SuccessorKeyID,
		f.policy.Overlap.Milliseconds(), f.policy.MinInterval.Milliseconds(), f.policy.Idle.Milliseconds(), f.clock(), p.Client).StringSlice()
	if err != nil {
		return session.Grant{}, unavailable("use", err)
	}
	return parseGrant(family, answer)
}

// Generation implements session.Store.
func (f *Families) Generation(ctx context.Context, family session.FamilyID) (generation uint64, ended bool, err error) {
	fields, err := f.client.HMGet(ctx, key(family), "r", "g", "G").Result()
	if err != nil {
		return 0, false, unavailable("generation", err)
	}
	if fields[0] != nil {
		return 0, true, nil
	}
	for _, field := range fields[1:] { // g is of the release before: see use.lua
		text, ok := field.(string)
		if !ok {
			continue
		}
		if generation, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, false, unavailable("generation", errNonsense)
		}
		break
	}
	return generation, false, nil
}

// Confirm implements session.Store.
func (f *Families) Confirm(ctx context.Context, family session.FamilyID, generation uint64) error {
	if err := f.confirm.Run(ctx, f.client, []string{key(family)}, generation).Err(); err != nil {
		return unavailable("confirm", err)
	}
	return nil
}

// Revoke implements session.Store.
func (f *Families) Revoke(ctx context.Context, family session.FamilyID, client string, reason session.Reason) (bool, error) {
	ended, err := f.revoke.Run(ctx, f.client, []string{key(family)},
		digest(client), string(reason), endedMemory.Milliseconds(), client).Int()
	if err != nil {
		return false, unavailable("revoke", err)
	}
	return ended == 1, nil
}

// key is the family's hash. The braces make the family its slot in a Cluster.
func key(family session.FamilyID) string { return "rf:{" + string(family) + "}" }

// digest stands for a client's name in a family: a cluster's names are long,
// and a family only asks whether it is the same client. It is no secret, and
// whoever could find another name of the same digest would still have to be let
// in under it. No client has no digest.
func digest(client string) string {
	if client == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(client))
	return string(sum[:8])
}

// packSubject shortens the id of an account, a UUID, to its 16 bytes behind a
// NUL, which no other text begins with. Any other text stays as it is.
func packSubject(subject string) string {
	id, err := uuid.Parse(subject)
	if err != nil || id.String() != subject {
		return subject
	}
	return "\x00" + string(id[:])
}

// unpackSubject undoes packSubject.
func unpackSubject(packed string) string {
	bytes, ok := strings.CutPrefix(packed, "\x00")
	id, err := uuid.FromBytes([]byte(bytes))
	if !ok || err != nil {
		return packed
	}
	return id.String()
}

func (f *Families) clock() string {
	if f.now == nil {
		return ""
	}
	return millis(f.now())
}

// millis is t in Unix milliseconds, 0 for the zero time.
func millis(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// unavailable keeps the kind of fault, and never arguments, which hold tokens' parts.
func unavailable(step string, err error) error {
	return fmt.Errorf("%w: %s: %w", session.ErrUnavailable, step, err)
}

var errNonsense = errors.New("the answer is not a script's")

// parseGrant reads what use.lua answers. Anything else is an outage, never the
// end of a session.
func parseGrant(family session.FamilyID, answer []string) (session.Grant, error) {
	if len(answer) == 0 {
		return session.Grant{}, unavailable("use", errNonsense)
	}
	g := session.Grant{Outcome: session.Outcome(answer[0]), Family: family}
	if !g.Outcome.Granted() {
		switch g.Outcome {
		case session.Revoked:
			if len(answer) > 1 {
				g.Reason = session.Reason(answer[1])
			}
			return g, nil
		case session.Reused, session.Ended, session.Foreign, session.Missing:
			return g, nil
		default:
			return session.Grant{}, unavailable("use", errNonsense)
		}
	}
	if len(answer) != 7 {
		return session.Grant{}, unavailable("use", errNonsense)
	}
	generation, err1 := strconv.ParseUint(answer[1], 10, 64)
	authTime, err2 := strconv.ParseInt(answer[5], 10, 64)
	end, err3 := strconv.ParseInt(answer[6], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return session.Grant{}, unavailable("use", errNonsense)
	}
	g.Generation, g.KeyID, g.Subject = generation, answer[2], unpackSubject(answer[3])
	g.Roles = strings.Fields(answer[4])
	g.AuthTime, g.End = time.UnixMilli(authTime), time.UnixMilli(end)
	return g, nil
}
