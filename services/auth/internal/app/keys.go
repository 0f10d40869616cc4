package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/httpapi"
	"lilypad.example/services/auth/internal/kubernetes"
	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/reload"
)

// leastPublishAhead is how long it takes until every Lilypad verifier has a new key, even through
// an HTTP cache. Other verifiers may need longer.
const leastPublishAhead = authn.RefreshEvery + httpapi.JWKSMaxAge + rollover.Settle

// KeysSecret configures the Kubernetes Secret in which the service stores its keys.
type KeysSecret struct {
	KeysSecret string `placeholder:"NAMESPACE/NAME" help:"Kubernetes Secret in which this service creates, stores and rotates its keys."`
	// Cluster is the API server for the Secret and for TokenReviews. Nil means the cluster that the
	// process runs in.
	Cluster *rest.Config `kong:"-"`
}

// Check checks the form of the Secret's name.
func (s *KeysSecret) Check() error {
	if namespace, name, ok := strings.Cut(s.KeysSecret, "/"); !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("LILYPAD_KEYS_SECRET: %q is not of the form namespace/name", s.KeysSecret)
	}
	return nil
}

// Open returns the Secret without connecting.
func (s *KeysSecret) Open() (rollover.Store, error) {
	cluster, err := s.cluster("LILYPAD_KEYS_SECRET")
	if err != nil {
		return nil, err
	}
	namespace, name, _ := strings.Cut(s.KeysSecret, "/") // Check has validated it
	return kubernetes.NewSecret(cluster, namespace, name)
}

// cluster returns the API server. setting is the setting that needs it, for the error.
func (s *KeysSecret) cluster(setting string) (*rest.Config, error) {
	if s.Cluster != nil {
		return s.Cluster, nil
	}
	cluster, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("%s needs a Kubernetes cluster around it: %w", setting, err)
	}
	return cluster, nil
}

// KeyPolicy configures the rotation of the signing keys in a KeysSecret.
type KeyPolicy struct {
	KeysRotateEvery  time.Duration `default:"720h" help:"With a keys secret: how long a key signs access tokens before the next one does."`
	KeysPublishAhead time.Duration `default:"10m" help:"With a keys secret: how long a key is published before it signs. Must cover the longest JWKS cache of any verifier; at least 2m40s."`
}

// schedule returns the rotation schedule for access tokens with a lifetime of access.
func (p KeyPolicy) schedule(access time.Duration) rollover.Schedule {
	return rollover.Schedule{
		Every: p.KeysRotateEvery,
		Wait:  p.KeysPublishAhead,
		Keep:  access + authn.Leeway + rollover.Settle,
	}
}

// checkPolicy checks the policy for access tokens with a lifetime of access.
func (p KeyPolicy) checkPolicy(access time.Duration) error {
	s := p.schedule(access)
	var faults []error
	if s.Wait < leastPublishAhead {
		faults = append(faults, fmt.Errorf("LILYPAD_KEYS_PUBLISH_AHEAD: %s is not enough: until every verifier has a new key, %s can go by", s.Wait, leastPublishAhead))
	}
	if s.Every < s.Wait+s.Keep {
		faults = append(faults, fmt.Errorf("LILYPAD_KEYS_ROTATE_EVERY: %s is too short: to bring a key in and the old one out takes %s", s.Every, s.Wait+s.Keep))
	}
	return errors.Join(faults...)
}

// keys holds the current keys, from files or from a Secret.
type keys struct {
	signing  func() *signer.Keys
	ring     func() *session.Ring
	ringAsOf func() time.Time
	// run reloads the keys until its context is canceled.
	run func(context.Context)
}

// openKeys opens the keys that c names. Key files must exist and be valid; keys in a Secret become
// available when run has read it.
func openKeys(c *Config, trail *audit.Log, log *slog.Logger) (*keys, error) {
	changed := reported(log, "service")
	if c.KeysSecret.KeysSecret != "" {
		return openKeysSecret(c, trail, log, changed)
	}
	signing, err1 := reload.Open(c.SigningKeysFile, signer.Parse)
	ring, err2 := reload.Open(c.RingKeysFile, session.ParseRing)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &keys{signing.Current, ring.Current, before(ring.Read, kubeletDelay), func(ctx context.Context) {
		var both sync.WaitGroup
		both.Go(func() { signing.Watch(ctx, changed) })
		both.Go(func() { ring.Watch(ctx, changed) })
		both.Wait()
	}}, nil
}

// kubeletDelay is how long the files of a mounted Secret may lag behind the Secret: the kubelet
// needs about two minutes to update them.
const kubeletDelay = 3 * time.Minute

// before returns a function that returns at() minus delay.
func before(at func() time.Time, delay time.Duration) func() time.Time {
	return func() time.Time { return at().Add(-delay) }
}

// reported returns a function that logs whether owner's keys were reloaded.
func reported(log *slog.Logger, owner string) func(error) {
	return func(err error) {
		if err != nil {
			log.Error("keys not reloaded: the old ones stay", "keys_of", owner, "error", err)
			return
		}
		log.Info("keys reloaded", "keys_of", owner)
	}
}

func openKeysSecret(c *Config, trail *audit.Log, log *slog.Logger, changed func(error)) (*keys, error) {
	store, err := c.Open()
	if err != nil {
		return nil, err
	}
	signing := reload.NewText(rollover.SigningEntry, signer.Parse)
	ring := reload.NewText(rollover.RingEntry, session.ParseRing)
	keeper := rollover.NewKeeper(rollover.Config{
		Store: store, Schedule: c.schedule(c.AccessTTL), Now: time.Now,
		Use: func(data map[string][]byte) {
			for entry, take := range map[string]func([]byte) (bool, error){rollover.SigningEntry: signing.Take, rollover.RingEntry: ring.Take} {
				if len(data[entry]) == 0 {
					continue // not created yet
				}
				if news, err := take(data[entry]); news {
					changed(err)
				}
			}
		},
		Changed: func(ctx context.Context, change rollover.Change) { RecordKeyChange(ctx, trail, change) },
	})
	return &keys{signing.Current, ring.Current, before(ring.Read, rollover.ReadTimeout), func(ctx context.Context) {
		keeper.Run(ctx, func(err error) {
			log.Warn("the Secret with the keys could not be brought up to date; the keys stay as they are", "error", err)
		})
	}}, nil
}

// RecordKeyChange audits a change of the signing keys.
func RecordKeyChange(ctx context.Context, trail *audit.Log, c rollover.Change) {
	events := map[rollover.Event]audit.Event{
		rollover.Published: audit.KeyPublished, rollover.Signing: audit.KeySigning,
		rollover.Retired: audit.KeyRetired, rollover.Revoked: audit.KeyRevoked,
	}
	trail.Record(ctx, events[c.Event], audit.Key(c.ID))
}

var errNoKeys = errors.New("there are no keys yet")

// ready returns an error until keys are available.
func (k *keys) ready() error {
	if k.signing() == nil || k.ring() == nil {
		return errNoKeys
	}
	return nil
}
