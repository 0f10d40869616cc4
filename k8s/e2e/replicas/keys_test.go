package replicas

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// TestKeysRotateUnderLoad replaces the signing key and the ring key in their files, in the steps of
// docs/architecture.md and docs/sessions.md, while visitors and API clients send requests. No
// request fails, and nobody is signed out. Then it skips a step, and requests fail, which proves
// that the test detects errors.
func TestKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	const life = 3 * time.Second
	w := newWorld(t, settings{accessTTL: life, minInterval: time.Second})
	w.frogs.start()
	w.frogs.awaitReady()
	crowd := w.crowd(6, check, "/", "/api/frogs")
	for _, v := range crowd.visitors {
		v.wantOK(t) // the upstream has seen an access token of each
	}
	stopAPIClients := w.callAPI(crowd.visitors)

	oldSigning, oldRing := w.readKeys(".")
	newSigning, newRing := w.makeKeys("next")
	oldID := w.published(t.Context(), w.auth[0])[0]
	fetched := w.nextFetchOfKeys()
	w.write("signing.pem", oldSigning+newSigning)
	w.write("ring.keys", oldRing+newRing)
	w.awaitReloads(1)
	var newID string
	for _, p := range w.auth {
		await(t, "the new key to be published", func(ctx context.Context) error {
			ids := w.published(ctx, p)
			if len(ids) != 2 || ids[0] != oldID {
				return fmt.Errorf("%s publishes %v", p.name, ids)
			}
			newID = ids[1]
			return nil
		})
	}
	select {
	case <-fetched: // verifiers look once a minute
	case <-time.After(process.Patience):
		t.Fatal("the API does not fetch the keys again")
	}

	w.write("signing.pem", newSigning+oldSigning)
	w.write("ring.keys", newRing+oldRing)
	w.awaitReloads(2)
	for _, v := range crowd.visitors {
		await(t, "a session under the new keys", func(context.Context) error {
			id := keyID(w.upstream.authorization(v.sid))
			if id != newID || !strings.HasPrefix(v.held(), "v1."+ringID(newRing)+".") {
				return fmt.Errorf("the token's key is %s, the cookie %.12s…", id, v.held())
			}
			return nil
		})
	}
	<-time.After(life) // of what the old keys signed last

	w.write("signing.pem", newSigning)
	w.write("ring.keys", newRing)
	w.awaitReloads(3)
	for _, p := range w.auth {
		await(t, "the old key to be gone", func(ctx context.Context) error {
			if ids := w.published(ctx, p); !slices.Equal(ids, []string{newID}) {
				return fmt.Errorf("%s publishes %v", p.name, ids)
			}
			return nil
		})
	}
	<-time.After(life) // so that every session is refreshed once more
	crowd.awaitRequests(t)
	for _, v := range crowd.visitors {
		v.wantOK(t)
	}
	crowd.leave()
	stopAPIClients()
	t.Logf("%d requests of visitors", crowd.answered.Load())
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 0 {
		t.Errorf("%d sessions ended, want 0", n)
	}

	// Control: a verifier that has just started fetches the keys again for an unknown key after 30
	// s at the earliest.
	w.frogs.kill()
	w.frogs.revive()
	unpublished, _ := w.makeKeys("unpublished")
	w.write("signing.pem", unpublished+newSigning)
	await(t, "a refusal of a token by an unpublished key", func(ctx context.Context) error {
		if a := crowd.visitors[0].get(ctx, "/api/frogs"); a.status != http.StatusUnauthorized {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
}

// makeKeys generates keys in a folder and returns them.
func (w *world) makeKeys(folder string) (signing, ring string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.auth[0].path, "keys", "generate", "--dir", w.file(folder))
	cmd.Env = process.Environment(nil)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("auth keys generate: %v\n%s", err, out)
	}
	return w.readKeys(folder)
}

func (w *world) readKeys(folder string) (signing, ring string) {
	w.t.Helper()
	var texts [2]string
	for i, name := range []string{"signing.pem", "ring.keys"} {
		text, err := os.ReadFile(filepath.Join(w.file(folder), name))
		if err != nil {
			w.t.Fatal(err)
		}
		texts[i] = string(text)
	}
	return texts[0], texts[1]
}

// published returns the key IDs in the JWKS of an auth service.
func (w *world) published(ctx context.Context, auth *program) []string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+auth.address+"/.well-known/jwks.json", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := direct.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, key := range set.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// awaitReloads waits until every auth service has reloaded both files that often, according to its
// log.
func (w *world) awaitReloads(times int) {
	w.t.Helper()
	for _, p := range w.auth {
		await(w.t, "keys to be read anew", func(context.Context) error {
			if n := strings.Count(p.log.String(), "keys reloaded"); n != 2*times {
				return fmt.Errorf("%s has read %d files", p.name, n)
			}
			return nil
		})
	}
}

// nextFetchOfKeys returns a channel that is closed when frogs fetches the keys again.
func (w *world) nextFetchOfKeys() <-chan struct{} {
	fetched := make(chan struct{})
	once := sync.OnceFunc(func() { close(fetched) })
	w.toAuthFromFrogs.watch(func(_ string, piece []byte, answered <-chan struct{}) {
		if bytes.HasPrefix(piece, []byte("GET /.well-known/jwks.json ")) {
			go func() {
				<-answered
				once()
			}()
		}
	})
	return fetched
}

// callAPI sends each visitor's access token to the API, which must accept it, until stop is called.
func (w *world) callAPI(visitors []*visitor) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	for _, v := range visitors {
		all.Go(func() {
			for ctx.Err() == nil {
				// Requests in flight are completed.
				if status, err := w.call(context.WithoutCancel(ctx), w.frogs, http.MethodGet, "/api/frogs", w.upstream.authorization(v.sid), ""); err != nil || status != http.StatusOK {
					w.t.Errorf("response of the API: status %d, error %v; want 200", status, err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(think):
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// keyID returns the ID of the key that signed an access token.
func keyID(authorization string) string {
	token, _, _ := strings.Cut(strings.TrimPrefix(authorization, "Bearer "), ".")
	var header struct {
		ID string `json:"kid"`
	}
	if text, err := base64.RawURLEncoding.DecodeString(token); err != nil || json.Unmarshal(text, &header) != nil {
		return ""
	}
	return header.ID
}

// ringID returns the ID of the first ring key.
func ringID(ring string) string {
	id, _, _ := strings.Cut(ring, " ")
	return id
}
