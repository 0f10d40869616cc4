package rotationtest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

const (
	workers      = 5
	operations   = 40 // per worker
	liveFamilies = 3  // at a time
)

// A recorder records a history. Its clock is a counter, so no two timestamps are equal.
type recorder struct {
	ticks    atomic.Int64
	mu       sync.Mutex
	history  []porcupine.Operation
	outcomes map[session.Outcome]int
	unknown  int // operations without a response
	resent   int // operations that were sent to Redis more than once, with a response in the end
	// userRevocations are the operations on all families of a user.
	userRevocations []userRevocation
	// successors maps each token to the tokens that it was exchanged for.
	successors map[string]map[string]bool
}

type userRevocation struct {
	worker    int
	subject   string
	call, ret int64
	failed    bool
}

func newRecorder() *recorder {
	return &recorder{outcomes: map[session.Outcome]int{}, successors: map[string]map[string]bool{}}
}

func (r *recorder) now() int64 { return r.ticks.Add(1) }

func (r *recorder) add(worker int, in input, out output, call, ret int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{ClientId: worker, Input: in, Output: out, Call: call, Return: ret})
	if out.known {
		r.outcomes[out.outcome]++
	}
	if out.maybe {
		r.unknown++
	}
}

func (r *recorder) addUserRevocation(u userRevocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.userRevocations = append(r.userRevocations, u)
}

// expandUserRevocations replaces each revocation of all of a user's families by one per family:
// such a revocation is not atomic across families.
func (r *recorder) expandUserRevocations() {
	for _, begin := range slices.Clone(r.history) {
		of := begin.Input.(input)
		if of.kind != began {
			continue
		}
		for _, u := range r.userRevocations {
			in := input{kind: revoked, family: of.family, shown: session.Presentation{Client: "app"}}
			switch {
			case u.subject != of.subject || begin.Call > u.ret && !u.failed:
			case u.failed:
				r.add(u.worker, in, output{maybe: true}, u.call, forever)
			default: // a family that began concurrently may have been missed
				r.add(u.worker, in, output{maybe: begin.Return > u.call}, u.call, u.ret)
			}
		}
	}
}

func (r *recorder) exchanged(token, successor string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.successors[token] == nil {
		r.successors[token] = map[string]bool{}
	}
	r.successors[token][successor] = true
}

// A knownFamily is a family as the holders of its tokens see it.
type knownFamily struct {
	id      session.FamilyID
	subject string
	tokens  []string // oldest first
	ended   bool
}

// A pool holds the tokens that all workers use, as honest browsers or as thieves.
type pool struct {
	mu       sync.Mutex
	families [liveFamilies]*knownFamily
	clock    atomic.Int64 // ms; read at the start of each operation
}

// A worker is a client with a replica of its own. The replica's connection to Redis is cut at
// random.
type worker struct {
	*replica

	t      *testing.T
	n      int
	rng    *rand.Rand
	rec    *recorder
	pool   *pool
	cutter *cutter
	use    string // the command that presents a token
	at     time.Time
}

// record runs the workers in a world and returns the history. wrap is as for world.replica.
func record(t *testing.T, w *world, seed uint64, wrap wrapper) *recorder {
	rec, tokens := newRecorder(), new(pool)
	tokens.clock.Store(time.Now().UnixMilli())
	all := make([]*worker, 0, workers)
	for n := range workers {
		one := &worker{t: t, n: n, use: w.use, rng: rand.New(rand.NewPCG(seed, uint64(n))), rec: rec, pool: tokens}
		cuts := rand.New(rand.NewPCG(seed, uint64(n+workers)))
		one.cutter = newCutter(t, w.redis, func(string) delivery { return randomDelivery(cuts) }, rec.now)
		client := one.cutter.client(t, goredis.Options{
			MaxRetries: []int{-1, 3}[n%2], MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 2 * time.Millisecond, ReadTimeout: time.Minute,
		})
		one.replica = w.replica(n, client, func() time.Time { return one.at }, wrap)
		all = append(all, one)
	}
	for i := range tokens.families {
		tokens.families[i] = all[0].start()
	}
	var running sync.WaitGroup
	for _, one := range all {
		running.Go(func() {
			for range operations {
				one.act()
			}
		})
	}
	running.Wait()
	rec.expandUserRevocations()
	return rec
}

func randomDelivery(rng *rand.Rand) delivery {
	switch n := rng.IntN(100); {
	case n < 8:
		return responseLost
	case n < 12:
		return commandLost
	case n < 15:
		return unknown
	}
	return delivered
}

// start begins a family and retries until that succeeds.
func (w *worker) start() *knownFamily {
	for {
		w.at = w.pool.advance(0)
		call := w.rec.now()
		subject := []string{"u1", "u2"}[w.rng.IntN(2)]
		s, err := w.Begin(w.t.Context(), session.Account{ID: subject}, "app", "Firefox")
		w.cutter.drain()
		if err != nil {
			continue // nobody knows the family's ID
		}
		w.rec.add(w.n, input{kind: began, family: s.Family, end: s.End, subject: subject, shown: session.Presentation{
			Client: "app", KeyID: s.KeyID, Now: time.UnixMilli(w.at.UnixMilli()),
		}}, output{}, call, w.rec.now())
		return &knownFamily{id: s.Family, subject: subject, tokens: []string{s.RefreshToken}}
	}
}

// act performs one random operation on one of the families.
func (w *worker) act() {
	w.at = w.pool.advance([]time.Duration{0, 0, 0, time.Second, 5 * time.Second, 11 * time.Second, time.Minute}[w.rng.IntN(7)])
	i := w.rng.IntN(liveFamilies)
	known, token, ended := w.pool.pick(i, w.rng)
	client := "app"
	if w.rng.IntN(25) == 0 {
		client = "other"
	}
	switch n := w.rng.IntN(100); {
	case ended && n < 50:
		w.pool.replace(i, w.start())
	case n < 4:
		w.revoke(known, token, client)
	case n < 6:
		w.revokeAll(known.subject)
	case n < 16:
		w.confirm(known, token)
	default:
		w.refresh(known, token, client)
	}
}

func (w *worker) shown(token, client string, by session.Evidence) session.Presentation {
	parsed, err := w.ring.Parse(token)
	if err != nil {
		w.t.Errorf("%s: %v", shorten(token), err)
	}
	return session.Presentation{
		Generation: parsed.Generation, Client: client, KeyID: parsed.KeyID, Presenter: w.ring.PresenterDigest(parsed, by.UserAgent, by.Network),
		SuccessorKeyID: w.ring.SigningKey(), Now: w.at,
	}
}

func (w *worker) refresh(known *knownFamily, token, client string) {
	by := home
	if w.rng.IntN(5) == 0 {
		by = away
	}
	in := input{kind: refreshed, family: known.id, shown: w.shown(token, client, by)}
	call := w.rec.now()
	got, err := w.Refresh(w.t.Context(), token, client, by)
	ret := w.rec.now()
	responded := err == nil || errors.Is(err, session.ErrInvalidGrant) || errors.Is(err, session.ErrInvalidClient)

	// Each time the script was sent counts as an operation of its own.
	uses := slices.DeleteFunc(w.cutter.drain(), func(s sent) bool { return s.command != w.use })
	for i, s := range uses {
		last := i == len(uses)-1
		switch {
		case responded && last:
			w.rec.add(w.n, in, output{known: true, outcome: got.Outcome, generation: got.Generation, keyID: got.KeyID}, max(call, s.at), ret)
		case s.done > 0:
			w.rec.add(w.n, in, output{}, s.at, s.done)
		default:
			w.rec.add(w.n, in, output{maybe: true}, s.at, forever)
		}
	}
	if responded && len(uses) == 0 { // a broken store that does not run the script
		w.rec.add(w.n, in, output{known: true, outcome: got.Outcome, generation: got.Generation, keyID: got.KeyID}, call, ret)
	}
	if responded && len(uses) > 1 {
		w.rec.addResent()
	}
	switch {
	case err == nil:
		if got.Generation > in.shown.Generation {
			w.rec.exchanged(token, got.RefreshToken)
			w.pool.add(known, got.RefreshToken)
		}
	case !responded && !errors.Is(err, session.ErrUnavailable):
		w.t.Errorf("refresh: %v, want success, ErrUnavailable, ErrInvalidGrant or ErrInvalidClient", err)
	case errors.Is(err, session.ErrInvalidGrant):
		w.pool.end(known)
	}
}

func (w *worker) revoke(known *knownFamily, token, client string) {
	in := input{kind: revoked, family: known.id, shown: session.Presentation{Client: client, Now: w.at}}
	call := w.rec.now()
	err := w.Revoke(w.t.Context(), token, client)
	w.settle(in, err, call)
	if err == nil && client == "app" {
		w.pool.end(known)
	}
}

// revokeAll logs a user out everywhere.
func (w *worker) revokeAll(subject string) {
	call := w.rec.now()
	_, err := w.End(w.t.Context(), session.Which{Subject: subject}, session.ReasonLogout)
	w.cutter.drain()
	if err != nil && !errors.Is(err, session.ErrUnavailable) {
		w.t.Errorf("revoke all: %v, want success or ErrUnavailable", err)
	}
	w.rec.addUserRevocation(userRevocation{w.n, subject, call, w.rec.now(), err != nil})
}

func (w *worker) confirm(known *knownFamily, token string) {
	in := input{kind: confirmed, family: known.id, shown: w.shown(token, "", home)}
	call := w.rec.now()
	err := w.Confirm(w.t.Context(), token, "app")
	w.settle(in, err, call)
}

// settle records an idempotent operation. Without a response it may take effect at any later time.
func (w *worker) settle(in input, err error, call int64) {
	w.cutter.drain()
	switch {
	case err == nil:
		w.rec.add(w.n, in, output{}, call, w.rec.now())
	case errors.Is(err, session.ErrUnavailable):
		w.rec.add(w.n, in, output{maybe: true}, call, forever)
	default:
		w.t.Errorf("%s: %v, want success or ErrUnavailable", in.kind, err)
	}
}

func (r *recorder) addResent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resent++
}

// advance moves the clock and returns the new time.
func (p *pool) advance(d time.Duration) time.Time {
	return time.UnixMilli(p.clock.Add(d.Milliseconds()))
}

// pick returns a family and one of its tokens: the newest or the one before, rarely an older one.
func (p *pool) pick(i int, rng *rand.Rand) (known *knownFamily, token string, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known = p.families[i]
	behind := []int{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}[rng.IntN(20)]
	return known, known.tokens[max(0, len(known.tokens)-1-behind)], known.ended
}

func (p *pool) add(known *knownFamily, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(known.tokens, token) {
		known.tokens = append(known.tokens, token)
	}
}

func (p *pool) end(known *knownFamily) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known.ended = true
}

func (p *pool) replace(i int, known *knownFamily) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.families[i] = known
}

// grantedAfterRevoke returns the families that granted a refresh which started after a revocation
// had succeeded.
func (r *recorder) grantedAfterRevoke() []session.FamilyID {
	revokedAt := map[session.FamilyID]int64{}
	for _, op := range r.history {
		in, out := op.Input.(input), op.Output.(output)
		if in.kind != revoked || in.shown.Client != "app" || out.maybe {
			continue
		}
		if at, ok := revokedAt[in.family]; !ok || op.Return < at {
			revokedAt[in.family] = op.Return
		}
	}
	var wrong []session.FamilyID
	for _, op := range r.history {
		in, out := op.Input.(input), op.Output.(output)
		if at, ok := revokedAt[in.family]; ok && out.known && out.outcome.Granted() && op.Call > at {
			wrong = append(wrong, in.family)
		}
	}
	return wrong
}

// forked returns the tokens that were exchanged for more than one successor.
func (r *recorder) forked() []string {
	var wrong []string
	for token, successors := range r.successors {
		if len(successors) > 1 {
			wrong = append(wrong, shorten(token))
		}
	}
	return wrong
}
