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

// The entries of the Secret, named as the files are.
const (
	SigningEntry = "signing.pem"
	RingEntry    = "ring.keys"
)

const (
	// readEvery is how often the Secret is read.
	readEvery = 5 * time.Second
	// ReadTimeout bounds one reading of the Secret, with what is written to it then.
	ReadTimeout = 5 * time.Second
	// maxSkew is how far apart the clocks of replicas may be; tokens bear no more.
	maxSkew = 30 * time.Second
	// Settle is the time in which a write is known to every replica, by the
	// clock of any of them.
	Settle = readEvery + ReadTimeout + maxSkew
)

// ErrConflict says that somebody else has written since the Secret was read.
var ErrConflict = errors.New("rollover: the secret has been written by another")

// A Secret is what a Store holds at one moment.
type Secret struct {
	Data    map[string][]byte
	Version string
}

// A Store holds the one Secret. Read must not return an older state than an
// earlier Read did. Write replaces the entries of Data if Version is still the
// newest, and fails with ErrConflict otherwise.
type Store interface {
	Read(ctx context.Context) (Secret, error)
	Write(ctx context.Context, s Secret) error
}

// Config is what a Keeper works with. All of it is required.
type Config struct {
	Store    Store
	Schedule Schedule
	// Initial returns the entries that a Secret without any begins with. What is
	// not among them is made.
	Initial func() (map[string][]byte, error)
	// Use is called with what the Secret holds whenever it was read or written.
	Use func(data map[string][]byte)
	// Changed is called once, at the replica that did it, for each change.
	Changed func(ctx context.Context, c Change)
	Now     func() time.Time
}

// A Keeper reads the Secret for one replica and does what is due. All replicas
// have one, and none is special.
type Keeper struct {
	Config

	since time.Time // of the first reading without a failure after it
}

// NewKeeper returns a Keeper. Its Run does the work.
func NewKeeper(c Config) *Keeper { return &Keeper{Config: c} }

// Run works until ctx ends, and calls failed whenever something did not
// succeed; it is tried again. What was read last stays good meanwhile.
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

// Turn reads the Secret once and does what is due.
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

// plan returns what the Secret has to hold. It is called with what was read.
func (k *Keeper) plan(data map[string][]byte) (map[string][]byte, []Change, error) {
	k.Use(data) // also if nothing can be planned or written
	now := k.Now()
	if k.since.IsZero() {
		k.since = now
	}
	next := copied(data)
	if len(next[SigningEntry]) == 0 && len(next[RingEntry]) == 0 {
		initial, err := k.Initial()
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(next, initial)
	}
	if len(next[RingEntry]) == 0 {
		next[RingEntry] = []byte(session.NewRingLine())
	}
	changes, err := change(next, func(keys []Key) ([]Key, []Change, error) {
		return k.Schedule.Plan(keys, now, k.since, Generate)
	})
	return next, changes, err
}

// EditKeys changes the signing keys in store by hand, as the keepers do it.
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

// update reads store, lets edit say what it has to hold and what that changes,
// and writes it if that is something else: from the start again when another
// was faster. It returns what store holds then.
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
