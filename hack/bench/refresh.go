package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// workers is the number of concurrent clients. Each rotates its own sessions.
const (
	workers      = 16
	loadSessions = 4 * workers
)

// turn is the result of a program in one turn.
type turn struct {
	requests             int
	took                 time.Duration
	latencies            []time.Duration // sorted
	cpu, redis, postgres time.Duration
}

// add adds o to t.
func (t *turn) add(o turn) {
	t.requests, t.took = t.requests+o.requests, t.took+o.took
	t.cpu, t.redis, t.postgres = t.cpu+o.cpu, t.redis+o.redis, t.postgres+o.postgres
	t.latencies = append(t.latencies, o.latencies...)
	slices.Sort(t.latencies)
}

func (t turn) perSecond() float64 { return float64(t.requests) / t.took.Seconds() }

func (t turn) micros(of time.Duration) float64 {
	return float64(of) / float64(time.Microsecond) / float64(t.requests)
}

func (t turn) cpuMicros() float64 { return t.micros(t.cpu) }

// refresher is a server that exchanges refresh tokens, and the request for it.
type refresher struct {
	*server
	target, prefix string // the form up to the refresh token
	sessions       []*session
	workers        int
}

// with returns r with other sessions.
func (r refresher) with(workers int, sessions []*session) refresher {
	r.workers, r.sessions = workers, sessions
	return r
}

func measureRefresh(ctx context.Context, l *lab, o options, auth service, sessions []*session, found *figures) error {
	db, err := l.openFamilies()
	if err != nil {
		return err
	}
	defer db.Close()
	base, err := l.startFloor(ctx)
	if err != nil {
		return err
	}
	own := make([]*session, loadSessions)
	for i := range own {
		own[i] = &session{refresh: fmt.Sprint(i)}
	}
	form := url.Values{
		"grant_type": {"refresh_token"}, "user_agent": {userAgent}, "client_address": {"198.18.0.1"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {l.cluster.token},
	}
	whole := refresher{server: auth.server, target: "/oauth2/token", prefix: form.Encode() + "&refresh_token=", sessions: sessions, workers: workers}
	bare := refresher{server: base, target: "/", prefix: "refresh_token=", sessions: own, workers: workers}

	if err := measureGrowth(ctx, l, o, db, whole, found); err != nil {
		return err
	}
	wholes, bares := &side{name: "refresh", who: whole}, &side{name: "floor", who: bare}
	if err := l.compare(ctx, o, wholes, bares); err != nil {
		return err
	}
	if o.profile != "" {
		if err := l.profile(ctx, o, auth, whole); err != nil {
			return err
		}
	}
	found.refresh(wholes, bares)
	base.Stop(syscall.SIGINT)
	crowd, err := db.measure(ctx, sessions, "family bytes", found)
	return errors.Join(err, db.forget(ctx, crowd))
}

// side is one of the compared programs.
type side struct {
	name  string
	who   refresher
	turns []turn
}

// compare lets the sides alternate every second of a round, because other load changes faster than
// a turn.
func (l *lab) compare(ctx context.Context, o options, sides ...*side) error {
	for round := range o.rounds {
		for _, s := range sides {
			l.say("round %d: %s", round+1, s.name)
			if _, err := l.drive(ctx, s.who, time.Second/2); err != nil { // warm-up
				return err
			}
			s.turns = append(s.turns, turn{})
		}
		for range o.seconds {
			for _, s := range sides {
				t, err := l.drive(ctx, s.who, time.Second)
				if err != nil {
					return err
				}
				s.turns[round].add(t)
			}
		}
	}
	return nil
}

// ratio returns the median of the ratios of a to b in each round, in which both had the same other
// load.
func ratio(a, b *side, of func(turn) float64) float64 {
	ratios := make([]float64, len(a.turns))
	for i := range ratios {
		ratios[i] = of(a.turns[i]) / of(b.turns[i])
	}
	return median(ratios)
}

// refresh adds the figures of the turns.
func (f *figures) refresh(whole, bare *side) {
	for _, s := range []*side{whole, bare} {
		f.add(s.name+" cpu us", 1, medianOf(s.turns, turn.cpuMicros))
		f.add(s.name+" requests/s", 0, medianOf(s.turns, turn.perSecond))
		f.add(s.name+" p99 ms", 2, medianOf(s.turns, func(t turn) float64 { return millis(percentile(t.latencies, 99)) }))
		f.add(s.name+" redis cpu us", 1, medianOf(s.turns, func(t turn) float64 { return t.micros(t.redis) }))
	}
	f.add("ratio refresh/floor", 2, ratio(whole, bare, turn.perSecond))
	f.add("ratio refresh/floor cpu", 2, ratio(whole, bare, turn.cpuMicros))
}

// drive rotates sessions with all workers for a time.
func (l *lab) drive(ctx context.Context, r refresher, span time.Duration) (turn, error) {
	before, err := l.used(r.server)
	if err != nil {
		return turn{}, err
	}
	begun := time.Now()
	latencies, faults := make([][]time.Duration, r.workers), make([]error, r.workers+1)
	var all sync.WaitGroup
	for w := range r.workers {
		all.Go(func() {
			latencies[w], faults[w] = r.work(ctx, r.sessions[w*len(r.sessions)/r.workers:(w+1)*len(r.sessions)/r.workers], begun.Add(span))
		})
	}
	all.Wait()
	took := time.Since(begun)
	after, err := l.used(r.server)
	faults[r.workers] = err
	if err := errors.Join(faults...); err != nil {
		return turn{}, fmt.Errorf("%s: %w", r.Name, err)
	}
	t := turn{
		took: took, latencies: slices.Concat(latencies...),
		cpu: after.cpu - before.cpu, redis: after.redis - before.redis, postgres: after.postgres - before.postgres,
	}
	t.requests = len(t.latencies)
	slices.Sort(t.latencies)
	return t, nil
}

// used returns the CPU time of the program and the stores.
func (l *lab) used(p *server) (t turn, err error) {
	var faults [3]error
	t.cpu, faults[0] = cpu(p.Process)
	t.redis, faults[1] = cpu(l.stores.Redis)
	t.postgres, faults[2] = cpu(l.stores.Postgres)
	return t, errors.Join(faults[:]...)
}

func (r refresher) work(ctx context.Context, sessions []*session, until time.Time) ([]time.Duration, error) {
	c, err := dial(ctx, r.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	latencies := make([]time.Duration, 0, 1<<14)
	for i := rand.IntN(len(sessions)); ; i++ { //nolint:gosec // not for security: to use all sessions
		s := sessions[i%len(sessions)]
		begun := time.Now()
		if begun.After(until) || ctx.Err() != nil {
			return latencies, ctx.Err()
		}
		req := request(http.MethodPost, r.target, []byte(r.prefix+s.refresh), "Content-Type: application/x-www-form-urlencoded")
		said, err := c.do(ctx, req)
		if err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(begun))
		if err := said.want(http.StatusOK, "a refresh"); err != nil {
			return nil, err
		}
		var a struct {
			RefreshToken string `json:"refresh_token"`
		}
		if err := json.Unmarshal(said.body, &a); err != nil {
			return nil, err
		}
		if r.target == "/oauth2/token" && a.RefreshToken == s.refresh {
			return nil, errors.New("a refresh did not rotate")
		}
		s.refresh = a.RefreshToken
	}
}

// profile takes a CPU profile of the auth service during a turn that is not counted.
func (l *lab) profile(ctx context.Context, o options, auth service, r refresher) error {
	l.say("profiling the auth service")
	taken := make(chan error, 1)
	go func() {
		taken <- download(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", auth.ops, o.seconds), o.profile)
	}()
	_, err := l.drive(ctx, r, o.span()+time.Second)
	return errors.Join(err, <-taken)
}

func download(ctx context.Context, from, to string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil) //nolint:gosec // a program that we started
	if err != nil {
		return err
	}
	resp, err := new(http.Client).Do(req) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("profile: %s: %s", resp.Status, b)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600) //nolint:gosec // the user chose the file
}
