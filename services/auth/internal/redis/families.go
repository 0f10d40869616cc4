// Package redis keeps data in Redis that may be lost: refresh-token families (Families), the
// revocation stream (Stream), kept forms (Forms) and used client assertions (Replays). It connects
// to a single server, Sentinel or a Cluster, or starts an embedded miniredis for local use.
//
// A family is one hash. Each operation that changes it is one Lua script, and so atomic.
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

// endedMemory is how long Redis keeps a revoked family whose record is revoked too. It is far
// longer than a replica takes between reading the record and rebuilding the family from it.
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

// NewFamilies returns Families that are kept in client. Time and epoch are those of the server.
func NewFamilies(client redis.UniversalClient, policy session.Policy) *Families {
	return &Families{
		client: client, policy: policy,
		begin: redis.NewScript(serverLua + beginLua), use: redis.NewScript(serverLua + useLua),
		confirm: redis.NewScript(confirmLua),
	}
}

// WithClock returns Families that take the time from now, for tests.
func (f *Families) WithClock(now func() time.Time) *Families {
	c := *f
	c.now = now
	return &c
}

// WithEpoch returns Families that take the epoch from epoch, for tests and for the embedded Redis,
// which has none.
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
		b.Generation, millis(b.Rotated), b.Lost, b.Provider, b.ACR).Int()
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

// Revoke implements session.Store. It needs one round trip per server.
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

// pipelined sends n commands in a pipeline. They use EVAL, because after EVALSHA a pipeline cannot
// retry a script that the server does not know.
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

// key returns the key of a family's hash. In a Cluster the family ID in braces determines the slot.
func key(family session.FamilyID) string { return "rf:{" + string(family) + "}" }

// digest returns a short digest of a client ID, which can be long in Kubernetes. A family only
// needs to recognize its client, and collisions are harmless, because only configured clients can
// authenticate. The digest of "" is "".
func digest(client string) string {
	if client == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(client))
	return string(sum[:8])
}

// packSubject shortens an account ID, a UUID, to a NUL and its 16 bytes. No other subject begins
// with NUL. It returns other texts unchanged.
func packSubject(subject string) string {
	id, err := uuid.Parse(subject)
	if err != nil || id.String() != subject {
		return subject
	}
	return "\x00" + string(id[:])
}

// unpackSubject reverses packSubject.
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

// given returns the epoch as an argument for a script, "" for that of the server.
func given(epoch func() session.Epoch) string {
	if epoch == nil {
		return ""
	}
	return string(epoch())
}

// challenge returns t in Unix milliseconds, or "" for the zero time.
func challenge(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return millis(t)
}

// millis returns t in Unix milliseconds, or "0" for the zero time.
func millis(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// unavailable wraps err in session.ErrUnavailable. It adds no arguments, which contain parts of
// tokens.
func unavailable(step string, err error) error {
	return fmt.Errorf("%w: %s: %w", session.ErrUnavailable, step, err)
}

var errNonsense = errors.New("the answer is not a script's")

// parseGrant parses an answer of use.lua. It fails with session.ErrUnavailable for any other
// answer, so that a malformed answer never ends a session.
func parseGrant(family session.FamilyID, answer []string) (session.Grant, error) {
	if len(answer) == 0 {
		return session.Grant{}, unavailable("use", errNonsense)
	}
	g := session.Grant{Outcome: session.Outcome(answer[0]), Family: family}
	said := answer[1:]
	switch {
	case g.Outcome.Granted() && (len(said) == 6 || len(said) == 8):
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
		switch g.Outcome { //nolint:exhaustive // these have no further values
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
	if len(said) == 8 {
		g.Provider, g.ACR = said[6], said[7]
	}
	return g, nonsense(errors.Join(err1, err2, err3))
}

func at(g session.Grant, text string) (session.Grant, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	g.At = time.UnixMilli(ms)
	return g, nonsense(err)
}

// nonsense returns an outage if err, a parse error, is not nil.
func nonsense(err error) error {
	if err == nil {
		return nil
	}
	return unavailable("use", errNonsense)
}
