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

// The Argon2id parameters of the OWASP Password Storage Cheat Sheet for two passes.
const (
	memoryKiB   = 19 * 1024
	iterations  = 2
	parallelism = 1
	saltBytes   = 16
	keyBytes    = 32
)

// The bounds of a stored hash's parameters. They leave room for imported accounts, with several
// times the memory of new hashes.
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
	// ErrBusy reports that the queue is full. The caller sheds the request (503 with Retry-After):
	// a longer queue would outlast the clients' timeouts. It is returned as a BusyError.
	ErrBusy = errors.New("password: too many hashes are waiting")
	// ErrMalformedHash reports that a stored hash is malformed or exceeds the bounds.
	ErrMalformedHash = errors.New("password: malformed hash")
)

// BusyError is ErrBusy with the time until the queue is empty, if each hash takes as long as the
// last.
type BusyError struct{ RetryAfter time.Duration }

// Error returns the text of ErrBusy.
func (*BusyError) Error() string { return ErrBusy.Error() }

// Unwrap returns ErrBusy.
func (*BusyError) Unwrap() error { return ErrBusy }

// Config bounds the work of a Hasher. Zero values select defaults.
type Config struct {
	// Concurrent is the maximum number of concurrent hashes, each with 19 MiB of memory and one
	// core. The default is the number of cores, at most four.
	Concurrent int
	// Waiting is the maximum number of hashes that wait. The default is 32 per concurrent hash,
	// which is about a second.
	Waiting int
}

// Hasher hashes and verifies passwords. At most Config.Concurrent hashes run and at most
// Config.Waiting wait. Further calls fail at once with ErrBusy, so that neither memory nor waiting
// time grows with the number of requests.
type Hasher struct {
	params  *argon2id.Params
	absent  string // verified in place of the hash of an unknown account
	slots   chan struct{}
	waiting atomic.Int64
	limit   int64
	took    atomic.Int64 // how long the last hash took, in nanoseconds

	// The expensive operations. Tests replace them.
	create func(password string, params *argon2id.Params) (string, error)
	check  func(password, hash string) (bool, *argon2id.Params, error)
}

// NewHasher returns a Hasher. It computes one hash, which takes as long as a login.
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
	defer h.measure()()
	if h.absent, err = h.create(rand.Text(), h.params); err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	return h, nil
}

// Hash returns the Argon2id hash of a password, with a random salt, as a PHC string. It does not
// check the password; see Check. Errors: ErrBusy, ErrTooLong, or the context's while it waits.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > maxBytes {
		return "", ErrTooLong
	}
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	defer h.measure()()
	hash, err := h.create(normalize(password), h.params)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return hash, nil
}

// Verdict is the result of Verify.
type Verdict struct {
	Match    bool
	Outdated bool // it matches, but the hash has other parameters than new ones: hash it again
}

// Verify verifies a password against a hash. An empty hash stands for an unknown account: nothing
// matches, but the work is the same, so that timing does not reveal which addresses have accounts.
// The same holds for passwords that are too long. Errors: ErrBusy, ErrMalformedHash, or the
// context's while it waits.
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
	defer h.measure()()
	match, params, err := h.check(normalize(password), hash)
	if err != nil {
		return Verdict{}, ErrMalformedHash
	}
	match = match && possible
	return Verdict{Match: match, Outdated: match && *params != *h.params}, nil
}

// wellFormed refuses hashes that the library would accept without a check: zero passes or lanes,
// which panic, an empty key, which matches every password, and unbounded memory or passes.
func wellFormed(hash string) bool {
	p, _, _, err := argon2id.DecodeHash(hash)
	return err == nil && p.Memory <= maxMemoryKiB && p.Iterations >= 1 && p.Iterations <= maxIterations && p.Parallelism >= 1 &&
		p.SaltLength >= minStoredBytes && p.KeyLength >= minStoredBytes
}

// acquire takes a slot, or waits for one unless the queue is full. ctx only ends the wait: a
// running hash cannot be canceled.
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

// measure returns a function that records the time since measure was called.
func (h *Hasher) measure() (done func()) {
	start := time.Now() //nolint:forbidigo // measures a duration
	return func() { h.took.Store(int64(time.Since(start))) }
}

// drain returns how long the running hashes and a full queue take.
func (h *Hasher) drain() time.Duration {
	slots := int64(cap(h.slots))
	rounds := 1 + (h.limit+slots-1)/slots
	return time.Duration(rounds * h.took.Load())
}
