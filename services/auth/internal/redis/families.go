// Package redis keeps in Redis what may be lost: refresh-token families
// (Families), the stream of revocations (Stream), kept forms (Forms) and used
// client assertions (Replays). It opens connections to a single server, Sentinel
// or Cluster, and for a local run an embedded miniredis.
//
// A family is one hash, and each operation on it is one Lua script and so one
// atomic step.
package redis

import (
	"context"
	"crypto/rand"
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
	//go:embed server.lua
	serverLua string
	//go:embed begin.lua
	beginLua string
	//go:embed use.lua
	useLua string
	//go:embed confirm.lua
	confirmLua string
	//go:embed revoke.lua
	revokeLua string
	//go:embed unverify.lua
	unverifyLua string
)

// endedMemory is how long an ended family is remembered once its record says
// the same: far longer than a replica that is putting it back takes between
// its looks at the record.
const endedMemory = time.Hour

// Families is a session.Store.
type Families struct {
	client              redis.UniversalClient
	policy              session.Policy
	now                 func() time.Time     // nil for the server's clock
	epoch               func() session.Epoch // nil for the server's own
	begin, use, confirm *redis.Script
}

var _ session.Store = (*Families)(nil)

// NewFamilies returns the families in client under policy. Time and epoch are Redis's own.
func NewFamilies(client redis.UniversalClient, policy session.Policy) *Families {
	return &Families{
		client: client, policy: policy,
		begin: redis.NewScript(serverLua + beginLua), use: redis.NewScript(serverLua + useLua),
		confirm: redis.NewScript(confirmLua),
	}
}

// WithClock returns families whose time is now's, for tests of long histories.
func (f *Families) WithClock(now func() time.Time) *Families {
	c := *f
	c.now = now
	return &c
}

// WithEpoch returns families whose epoch is what epoch returns: for a Redis that
// has none, and for tests.
func (f *Families) WithEpoch(epoch func() session.Epoch) *Families {
	c := *f
	c.epoch = epoch
	return &c
}

// Begin implements session.Store.
func (f *Families) Begin(ctx context.Context, b session.Beginning) error {
	made, err := f.begin.Run(ctx, f.client, []string{key(b.Family)},
		packSubject(b.Subject), strings.Join(b.Roles, " "), digest(b.Client), b.KeyID,
		millis(b.AuthTime), millis(b.End), f.policy.Idle.Milliseconds(), f.clock(), given(f.epoch),
		b.Generation, millis(b.Rotated), b.Lost).Int()
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
		f.policy.Overlap.Milliseconds(), f.policy.MinInterval.Milliseconds(), f.policy.Idle.Milliseconds(), f.clock(), given(f.epoch),
		string(p.Settled), strings.Join(p.Roles, " "), challenge(p.Challenge), session.ChallengeLife.Milliseconds()).StringSlice()
	if err != nil {
		return session.Grant{}, unavailable("use", err)
	}
	return parseGrant(family, answer)
}

// Generation implements session.Store.
func (f *Families) Generation(ctx context.Context, family session.FamilyID) (generation uint64, revoked bool, err error) {
	fields, err := f.client.HMGet(ctx, key(family), "r", "G").Result()
	if err != nil {
		return 0, false, unavailable("generation", err)
	}
	if fields[0] != nil {
		return 0, true, nil
	}
	if text, ok := fields[1].(string); ok {
		if generation, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, false, unavailable("generation", errNonsense)
		}
	}
	return generation, false, nil
}

// Confirm implements session.Store.
func (f *Families) Confirm(ctx context.Context, family session.FamilyID, generation uint64, client string) error {
	if err := f.confirm.Run(ctx, f.client, []string{key(family)}, generation, digest(client)).Err(); err != nil {
		return unavailable("confirm", err)
	}
	return nil
}

// Revoke implements session.Store. It is one round trip to each server.
func (f *Families) Revoke(ctx context.Context, all []session.Revocation) error {
	return f.pipelined(ctx, "revoke", len(all), func(pipe redis.Pipeliner, i int) {
		pipe.Eval(ctx, revokeLua, []string{key(all[i].Family)}, "", string(all[i].Reason), endedMemory.Milliseconds())
	})
}

// RevokeUnrecorded implements session.Store.
func (f *Families) RevokeUnrecorded(ctx context.Context, family session.FamilyID, client string, reason session.Reason) error {
	if err := f.client.Eval(ctx, revokeLua, []string{key(family)}, digest(client), string(reason), "").Err(); err != nil {
		return unavailable("revoke", err)
	}
	return nil
}

// Unverify implements session.Store.
func (f *Families) Unverify(ctx context.Context, families []session.FamilyID) error {
	mark := rand.Text()[:8]
	return f.pipelined(ctx, "unverify", len(families), func(pipe redis.Pipeliner, i int) {
		pipe.Eval(ctx, unverifyLua, []string{key(families[i])}, mark)
	})
}

// pipelined sends n commands. Scripts go with their text: a pipeline cannot send
// one again that the server does not know.
func (f *Families) pipelined(ctx context.Context, step string, n int, add func(redis.Pipeliner, int)) error {
	if n == 0 {
		return nil
	}
	_, err := f.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range n {
			add(pipe, i)
		}
		return nil
	})
	if err != nil {
		return unavailable(step, err)
	}
	return nil
}

// key is the family's hash. The braces make the family its slot in a Cluster.
func key(family session.FamilyID) string { return "rf:{" + string(family) + "}" }

// digest stands for a client's name in a family: a cluster's names are long,
// and a family only asks whether it is the same client. It is no secret: whoever
// finds another name of the same digest must still be a configured client of
// that name. No client has no digest.
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

// given is the epoch as an argument of a script, "" for the server's own.
func given(epoch func() session.Epoch) string {
	if epoch == nil {
		return ""
	}
	return string(epoch())
}

// challenge is t in Unix milliseconds, "" for the zero time.
func challenge(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return millis(t)
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
	said := answer[1:]
	switch {
	case g.Outcome.Granted() && len(said) == 6:
		return parseGranted(g, said)
	case g.Outcome == session.Revoked && len(said) == 1:
		g.Reason = session.Reason(said[0])
		return g, nil
	case g.Outcome == session.Unverified && len(said) == 2 && said[0] != "":
		g.Doubt = session.Doubt(said[0])
		return at(g, said[1])
	case (g.Outcome == session.Missing || g.Outcome == session.Stale) && len(said) == 1:
		return at(g, said[0])
	case len(said) == 0:
		switch g.Outcome { //nolint:exhaustive // these come without anything
		case session.Reused, session.Ended, session.Foreign:
			return g, nil
		}
	}
	return session.Grant{}, unavailable("use", errNonsense)
}

func parseGranted(g session.Grant, said []string) (session.Grant, error) {
	generation, err1 := strconv.ParseUint(said[0], 10, 64)
	authTime, err2 := strconv.ParseInt(said[4], 10, 64)
	end, err3 := strconv.ParseInt(said[5], 10, 64)
	g.Generation, g.KeyID, g.Subject = generation, said[1], unpackSubject(said[2])
	g.Roles = strings.Fields(said[3])
	g.AuthTime, g.End = time.UnixMilli(authTime), time.UnixMilli(end)
	return g, nonsense(errors.Join(err1, err2, err3))
}

func at(g session.Grant, text string) (session.Grant, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	g.At = time.UnixMilli(ms)
	return g, nonsense(err)
}

// nonsense is the outage that err, of an answer that does not parse, amounts to.
func nonsense(err error) error {
	if err == nil {
		return nil
	}
	return unavailable("use", errNonsense)
}
