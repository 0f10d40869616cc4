package password

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"
)

// The row of the OWASP Password Storage Cheat Sheet for Argon2id with the least memory that still allows two passes.
const (
	memoryKiB   = 19 * 1024
	iterations  = 2
	parallelism = 1
	saltBytes   = 16
	keyBytes    = 32
)

// What a stored hash may ask for: room for accounts brought along from elsewhere, with today's memory several times over, but bounded.
const (
	maxMemoryKiB   = 64 * 1024
	maxIterations  = 8
	minStoredBytes = 8
)

// Defaults of Config. Each running hash holds 19 MiB, so four of them hold 76 MiB.
const (
	maxDefaultConcurrency = 4
	waitersPerSlot        = 32
)

// Errors of a Hasher.
var (
	// ErrBusy says that as many hashes wait already as may wait. The caller sheds the request (503 with Retry-After): more
	// waiting would only mean answers that nobody waits for any more. It comes as a BusyError.
	ErrBusy = errors.New("password: too many hashes are waiting")
	// ErrMalformedHash says that a stored hash is not one of ours.
	ErrMalformedHash = errors.New("password: malformed hash")
)

// BusyError is ErrBusy, and says when the hashes that wait now will be done, if they take as long as the last one did.
type BusyError struct{ RetryAfter time.Duration }

// Error returns the text of ErrBusy.
func (*BusyError) Error() string { return ErrBusy.Error() }

// Unwrap returns ErrBusy.
func (*BusyError) Unwrap() error { return ErrBusy }

// Config bounds the work of a Hasher. Zero values mean defaults.
type Config struct {
	// Concurrent is how many hashes run at once, at 19 MiB of memory and one core each. By default the number of cores, at most
	// four: more than there are cores makes no hash faster.
	Concurrent int
	// Waiting is how many further ones may wait for a slot, 32 for each by default, which is about a second.
	Waiting int
}

// Hasher hashes and verifies passwords. At most Config.Concurrent hashes run at once and at most Config.Waiting wait; the rest is
// refused at once with ErrBusy, so that neither memory nor waiting time grows with the number of requests.
type Hasher struct {
	params  *argon2id.Params
	absent  string // the hash of nobody's password
	slots   chan struct{}
	waiting atomic.Int64
	limit   int64
	took    atomic.Int64 // how long the last hash took, in nanoseconds

	// The expensive work, here so that a test can count it.
	create func(password string, params *argon2id.Params) (string, error)
	check  func(password, hash string) (bool, *argon2id.Params, error)
}

// NewHasher returns a Hasher. It computes one hash, so it takes as long as a login.
func NewHasher(cfg Config) (*Hasher, error) {
	if cfg.Concurrent < 0 || cfg.Waiting < 0 {
		return nil, fmt.Errorf("password: bounds must not be negative: %+v", cfg)
	}
	if cfg.Concurrent == 0 {
		cfg.Concurrent = min(runtime.GOMAXPROCS(0), maxDefaultConcurrency)
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = waitersPerSlot * cfg.Concurrent
	}
	h := &Hasher{
		params: &argon2id.Params{
			Memory: memoryKiB, Iterations: iterations, Parallelism: parallelism, SaltLength: saltBytes, KeyLength: keyBytes,
		},
		slots:  make(chan struct{}, cfg.Concurrent),
		limit:  int64(cfg.Waiting),
		create: argon2id.CreateHash,
		check:  argon2id.CheckHash,
	}
	var err error
	defer h.measure(time.Now())
	if h.absent, err = h.create(rand.Text(), h.params); err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	return h, nil
}

// Hash returns the Argon2id hash of a password, with a fresh salt, as a PHC string. It does not judge the password: see Check.
// Errors: ErrBusy, ErrTooLong, or the context's while it waits.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > maxBytes {
		return "", ErrTooLong
	}
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	defer h.measure(time.Now())
	hash, err := h.create(normalize(password), h.params)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return hash, nil
}

// Verdict is what Verify found.
type Verdict struct {
	Match    bool
	Outdated bool // it matches, and the hash was made with other parameters than today's: hash the password again
}

// Verify says whether a password belongs to a hash. An empty hash stands for an account that does not exist: the same work is done
// as for one that does, and nothing matches, so that time does not tell which addresses have accounts. A password that is too long
// for any account is treated likewise.
// Errors: ErrBusy, ErrMalformedHash, or the context's while it waits.
func (h *Hasher) Verify(ctx context.Context, password, hash string) (Verdict, error) {
	possible := hash != "" && len(password) <= maxBytes
	if hash == "" {
		hash = h.absent
	}
	if len(password) > maxBytes {
		password = ""
	}
	if !wellFormed(hash) {
		return Verdict{}, ErrMalformedHash
	}
	if err := h.acquire(ctx); err != nil {
		return Verdict{}, err
	}
	defer h.release()
	defer h.measure(time.Now())
	match, params, err := h.check(normalize(password), hash)
	if err != nil {
		return Verdict{}, ErrMalformedHash
	}
	match = match && possible
	return Verdict{Match: match, Outdated: match && *params != *h.params}, nil
}

// wellFormed refuses what the library would take at its word: no passes or lanes (a panic), an empty key (it equals that of every
// password), and memory or passes without bound.
func wellFormed(hash string) bool {
	p, _, _, err := argon2id.DecodeHash(hash)
	return err == nil && p.Memory <= maxMemoryKiB && p.Iterations >= 1 && p.Iterations <= maxIterations && p.Parallelism >= 1 &&
		p.SaltLength >= minStoredBytes && p.KeyLength >= minStoredBytes
}

// acquire takes a slot, waiting if the bound allows it. A hash that has begun cannot be stopped, so the context counts here only.
func (h *Hasher) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > h.limit {
		h.waiting.Add(-1)
		return &BusyError{h.drain()}
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("password: %w", ctx.Err())
	}
}

func (h *Hasher) release() { <-h.slots }

// measure notes how long a hash took that began at start.
func (h *Hasher) measure(start time.Time) { h.took.Store(int64(time.Since(start))) }

// drain returns how long a full queue takes, with those that run.
func (h *Hasher) drain() time.Duration {
	slots := int64(cap(h.slots))
	rounds := 1 + (h.limit+slots-1)/slots
	return time.Duration(rounds * h.took.Load())
}
