package rollover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// The entries of the Secret have the names of the files.
const (
	SigningEntry = "signing.pem"
	RingEntry    = "ring.keys"
)

const (
	// readEvery is how often the Secret is read.
	readEvery = 5 * time.Second
	// ReadTimeout bounds one read of the Secret together with the write that follows.
	ReadTimeout = 5 * time.Second
	// maxSkew is how far the clocks of replicas may differ; tokens tolerate no more.
	maxSkew = 30 * time.Second
	// Settle is the time after which every replica has read a write, by any replica's clock.
	Settle = readEvery + ReadTimeout + maxSkew
)

// ErrConflict reports that the Secret has changed since it was read.
var ErrConflict = errors.New("rollover: the secret has changed since it was read")

// A Secret is one version of a Store's content.
type Secret struct {
	Data    map[string][]byte
	Version string
}

// A Store stores the one Secret. Read must not return an older version than an earlier Read. Write
// replaces the entries of Data if Version is current, and fails with ErrConflict otherwise.
type Store interface {
	Read(ctx context.Context) (Secret, error)
	Write(ctx context.Context, s Secret) error
}

// Config configures a Keeper. All fields are required.
type Config struct {
	Store    Store
	Schedule Schedule
	// Use is called with the Secret's content after each read and write.
	Use func(data map[string][]byte)
	// Changed is called once per change, at the replica that made it.
	Changed func(ctx context.Context, c Change)
	Now     func() time.Time
}

// A Keeper reads the Secret for one replica and makes the changes that are due. Every replica runs
// one, without a leader.
type Keeper struct {
	Config

	since time.Time // the first read after the last failure
}

// NewKeeper returns a Keeper. Its Run does the work.
func NewKeeper(c Config) *Keeper { return &Keeper{Config: c} }

// Run works until ctx ends. It calls failed after each failure and retries; the content read last
// stays in use.
func (k *Keeper) Run(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		if err := k.Turn(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Turn reads the Secret once and makes the changes that are due.
func (k *Keeper) Turn(ctx context.Context) error {
	data, changes, err := update(ctx, k.Store, k.plan)
	if err != nil {
		k.since = time.Time{}
		return err
	}
	k.Use(data)
	for _, c := range changes {
		k.Changed(ctx, c)
	}
	return nil
}

// plan returns the new content of the Secret, given the content that was read.
func (k *Keeper) plan(data map[string][]byte) (map[string][]byte, []Change, error) {
	k.Use(data) // even if planning or writing fails
	now := k.Now()
	if k.since.IsZero() {
		k.since = now
	}
	next := copied(data)
	if len(next[RingEntry]) == 0 {
		next[RingEntry] = []byte(session.NewRingLine())
	}
	changes, err := change(next, func(keys []Key) ([]Key, []Change, error) {
		return k.Schedule.Plan(keys, now, k.since, Generate)
	})
	return next, changes, err
}

// EditKeys applies a manual change to the signing keys in store, in the same way as a Keeper.
func EditKeys(ctx context.Context, store Store, edit func([]Key) ([]Key, []Change, error)) ([]Change, error) {
	_, changes, err := update(ctx, store, func(data map[string][]byte) (map[string][]byte, []Change, error) {
		next := copied(data)
		changes, err := change(next, edit)
		return next, changes, err
	})
	return changes, err
}

func copied(data map[string][]byte) map[string][]byte {
	c := make(map[string][]byte, len(data))
	maps.Copy(c, data)
	return c
}

// change edits the signing keys of data.
func change(data map[string][]byte, edit func([]Key) ([]Key, []Change, error)) ([]Change, error) {
	keys, err := Parse(data[SigningEntry])
	if err != nil {
		return nil, err
	}
	keys, changes, err := edit(keys)
	if err != nil {
		return nil, err
	}
	data[SigningEntry], err = Encode(keys)
	return changes, err
}

// update reads store, calls edit for the new content, and writes it if it differs. It starts over
// after a conflict, and returns the content of store and the changes.
func update(ctx context.Context, store Store, edit func(data map[string][]byte) (map[string][]byte, []Change, error)) (map[string][]byte, []Change, error) {
	for {
		data, changes, err := updateOnce(ctx, store, edit)
		if !errors.Is(err, ErrConflict) {
			return data, changes, err
		}
	}
}

func updateOnce(ctx context.Context, store Store, edit func(map[string][]byte) (map[string][]byte, []Change, error)) (map[string][]byte, []Change, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	held, err := store.Read(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read keys: %w", err)
	}
	next, changes, err := edit(held.Data)
	if err != nil || maps.EqualFunc(held.Data, next, bytes.Equal) {
		return held.Data, changes, err
	}
	if err := store.Write(ctx, Secret{Data: next, Version: held.Version}); err != nil {
		return nil, nil, fmt.Errorf("write keys: %w", err)
	}
	return next, changes, nil
}
