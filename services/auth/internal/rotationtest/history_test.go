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
	workers    = 5
	operations = 40 // of each worker
	live       = 3  // families at a time
)

// A recorder records a history while it happens. Its time is a counter, so that
// all times differ.
type recorder struct {
	ticks    atomic.Int64
	mu       sync.Mutex
	history  []porcupine.Operation
	outcomes map[session.Outcome]int
	unknown  int // operations without an answer
	again    int // operations that Redis was sent more than once, and answered
	// everywhere are the operations on all of a user's families.
	everywhere []everywhere
	// successors holds what each token was exchanged for, by its text.
	successors map[string]map[string]bool
}

type everywhere struct {
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

func (r *recorder) end(e everywhere) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.everywhere = append(r.everywhere, e)
}

// finish replaces each operation on all of a user's families by one on each of
// them, because nothing is promised about several families together.
func (r *recorder) finish() {
	for _, begin := range slices.Clone(r.history) {
		of := begin.Input.(input)
		if of.kind != begun {
			continue
		}
		for _, e := range r.everywhere {
			in := input{kind: ended, family: of.family, shown: session.Presentation{Client: "app"}}
			switch {
			case e.subject != of.subject || begin.Call > e.ret && !e.failed:
			case e.failed:
				r.add(e.worker, in, output{maybe: true}, e.call, forever)
			default: // it may have missed a family that had just begun
				r.add(e.worker, in, output{maybe: begin.Return > e.call}, e.call, e.ret)
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

// A lineage is a family as its clients know it.
type lineage struct {
	id      session.FamilyID
	subject string
	tokens  []string // oldest first
	over    bool
}

// A tokenPool holds the tokens that the workers, honest and not, present.
type tokenPool struct {
	mu    sync.Mutex
	lines [live]*lineage
	clock atomic.Int64 // in ms; each operation has the time of its start
}

// A worker is a client of its own replica, whose connection to Redis is cut at
// random.
type worker struct {
	*replica

	t      *testing.T
	n      int
	chance *rand.Rand
	rec    *recorder
	pool   *tokenPool
	cutter *cutter
	use    string // the command that presents a token
	at     time.Time
}

// record runs the workers on a world and returns what happened. spoil as for
// world.replica.
func record(t *testing.T, w *world, seed uint64, spoil spoiler) *recorder {
	rec, b := newRecorder(), new(tokenPool)
	b.clock.Store(time.Now().UnixMilli())
	all := make([]*worker, 0, workers)
	for n := range workers {
		one := &worker{t: t, n: n, use: w.use, chance: rand.New(rand.NewPCG(seed, uint64(n))), rec: rec, pool: b}
		cuts := rand.New(rand.NewPCG(seed, uint64(n+workers)))
		one.cutter = newCutter(t, w.redis, func(string) fate { return mostlyDelivered(cuts) }, rec.now)
		client := one.cutter.client(t, goredis.Options{
			MaxRetries: []int{-1, 3}[n%2], MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 2 * time.Millisecond, ReadTimeout: time.Minute,
		})
		one.replica = w.replica(n, client, func() time.Time { return one.at }, spoil)
		all = append(all, one)
	}
	for i := range b.lines {
		b.lines[i] = all[0].start()
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
	rec.finish()
	return rec
}

func mostlyDelivered(chance *rand.Rand) fate {
	switch n := chance.IntN(100); {
	case n < 8:
		return answerLost
	case n < 12:
		return commandLost
	case n < 15:
		return lost
	}
	return delivered
}

// start begins a family, and repeats that until it succeeds.
func (w *worker) start() *lineage {
	for {
		w.at = w.pool.pass(0)
		call := w.rec.now()
		subject := []string{"u1", "u2"}[w.chance.IntN(2)]
		s, err := w.Begin(w.t.Context(), session.Account{ID: subject}, "app", "Firefox")
		w.cutter.drain()
		if err != nil {
			continue // the id of the family is not known
		}
		w.rec.add(w.n, input{kind: begun, family: s.Family, end: s.End, subject: subject, shown: session.Presentation{
			Client: "app", KeyID: s.KeyID, Now: time.UnixMilli(w.at.UnixMilli()),
		}}, output{}, call, w.rec.now())
		return &lineage{id: s.Family, subject: subject, tokens: []string{s.RefreshToken}}
	}
}

// act performs a random operation on one of the families.
func (w *worker) act() {
	w.at = w.pool.pass([]time.Duration{0, 0, 0, time.Second, 5 * time.Second, 11 * time.Second, time.Minute}[w.chance.IntN(7)])
	i := w.chance.IntN(live)
	line, token, over := w.pool.pick(i, w.chance)
	client := "app"
	if w.chance.IntN(25) == 0 {
		client = "other"
	}
	switch n := w.chance.IntN(100); {
	case over && n < 50:
		w.pool.replace(i, w.start())
	case n < 4:
		w.revoke(line, token, client)
	case n < 6:
		w.revokeAll(line.subject)
	case n < 16:
		w.confirm(line, token)
	default:
		w.refresh(line, token, client)
	}
}

func (w *worker) shown(token, client string, by session.Evidence) session.Presentation {
	parsed, err := w.ring.Parse(token)
	if err != nil {
		w.t.Errorf("token %s does not parse: %v", shorten(token), err)
	}
	return session.Presentation{
		Generation: parsed.Generation, Client: client, KeyID: parsed.KeyID, Presenter: w.ring.PresenterDigest(parsed, by.UserAgent, by.Network),
		SuccessorKeyID: w.ring.SigningKey(), Now: w.at,
	}
}

func (w *worker) refresh(line *lineage, token, client string) {
	by := home
	if w.chance.IntN(5) == 0 {
		by = away
	}
	in := input{kind: refreshed, family: line.id, shown: w.shown(token, client, by)}
	call := w.rec.now()
	got, err := w.Refresh(w.t.Context(), token, client, by)
	ret := w.rec.now()
	answered := err == nil || errors.Is(err, session.ErrInvalidGrant) || errors.Is(err, session.ErrInvalidClient)

	// Each time that the use script was sent is a separate operation.
	uses := slices.DeleteFunc(w.cutter.drain(), func(s sent) bool { return s.command != w.use })
	for i, s := range uses {
		last := i == len(uses)-1
		switch {
		case answered && last:
			w.rec.add(w.n, in, output{known: true, outcome: got.Outcome, generation: got.Generation, keyID: got.KeyID}, max(call, s.at), ret)
		case s.done > 0:
			w.rec.add(w.n, in, output{}, s.at, s.done)
		default:
			w.rec.add(w.n, in, output{maybe: true}, s.at, forever)
		}
	}
	if answered && len(uses) == 0 { // a store that is wrong on purpose may not send it
		w.rec.add(w.n, in, output{known: true, outcome: got.Outcome, generation: got.Generation, keyID: got.KeyID}, call, ret)
	}
	if answered && len(uses) > 1 {
		w.rec.resent()
	}
	switch {
	case err == nil:
		if got.Generation > in.shown.Generation {
			w.rec.exchanged(token, got.RefreshToken)
			w.pool.learn(line, got.RefreshToken)
		}
	case !answered && !errors.Is(err, session.ErrUnavailable):
		w.t.Errorf("refresh: %v, want an answer of the protocol or ErrUnavailable", err)
	case errors.Is(err, session.ErrInvalidGrant):
		w.pool.end(line)
	}
}

func (w *worker) revoke(line *lineage, token, client string) {
	in := input{kind: ended, family: line.id, shown: session.Presentation{Client: client, Now: w.at}}
	call := w.rec.now()
	err := w.Revoke(w.t.Context(), token, client)
	w.settle(in, err, call)
	if err == nil && client == "app" {
		w.pool.end(line)
	}
}

// revokeAll is logout everywhere.
func (w *worker) revokeAll(subject string) {
	call := w.rec.now()
	_, err := w.End(w.t.Context(), session.Which{Subject: subject}, session.ReasonLogout)
	w.cutter.drain()
	if err != nil && !errors.Is(err, session.ErrUnavailable) {
		w.t.Errorf("revoke all: %v, want nil or ErrUnavailable", err)
	}
	w.rec.end(everywhere{w.n, subject, call, w.rec.now(), err != nil})
}

func (w *worker) confirm(line *lineage, token string) {
	in := input{kind: confirmed, family: line.id, shown: w.shown(token, "", home)}
	call := w.rec.now()
	err := w.Confirm(w.t.Context(), token, "app")
	w.settle(in, err, call)
}

// settle records an idempotent operation. Without an answer it may take effect at
// any later time.
func (w *worker) settle(in input, err error, call int64) {
	w.cutter.drain()
	switch {
	case err == nil:
		w.rec.add(w.n, in, output{}, call, w.rec.now())
	case errors.Is(err, session.ErrUnavailable):
		w.rec.add(w.n, in, output{maybe: true}, call, forever)
	default:
		w.t.Errorf("%s: %v, want nil or ErrUnavailable", in.kind, err)
	}
}

func (r *recorder) resent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again++
}

func (b *tokenPool) pass(d time.Duration) time.Time {
	return time.UnixMilli(b.clock.Add(d.Milliseconds()))
}

// pick returns a family and a token of it: mostly the newest, often the one
// before, rarely an older one.
func (b *tokenPool) pick(i int, chance *rand.Rand) (line *lineage, token string, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line = b.lines[i]
	behind := []int{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}[chance.IntN(20)]
	return line, line.tokens[max(0, len(line.tokens)-1-behind)], line.over
}

func (b *tokenPool) learn(line *lineage, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(line.tokens, token) {
		line.tokens = append(line.tokens, token)
	}
}

func (b *tokenPool) end(line *lineage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line.over = true
}

func (b *tokenPool) replace(i int, line *lineage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines[i] = line
}

// grantedAfterRevoke returns the families in which a refresh that began after
// a revocation's success was granted.
func (r *recorder) grantedAfterRevoke() []session.FamilyID {
	over := map[session.FamilyID]int64{}
	for _, op := range r.history {
		in, out := op.Input.(input), op.Output.(output)
		if in.kind != ended || in.shown.Client != "app" || out.maybe {
			continue
		}
		if at, ok := over[in.family]; !ok || op.Return < at {
			over[in.family] = op.Return
		}
	}
	var wrong []session.FamilyID
	for _, op := range r.history {
		in, out := op.Input.(input), op.Output.(output)
		if at, ok := over[in.family]; ok && out.known && out.outcome.Granted() && op.Call > at {
			wrong = append(wrong, in.family)
		}
	}
	return wrong
}

// forked returns the tokens that were exchanged for more than one other.
func (r *recorder) forked() []string {
	var wrong []string
	for token, successors := range r.successors {
		if len(successors) > 1 {
			wrong = append(wrong, shorten(token))
		}
	}
	return wrong
}
