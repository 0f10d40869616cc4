package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// copies is how many families the memory of one is averaged over, and how many
// sessions many are.
const copies = 100_000

// generationField is where a family keeps its generation (services/auth/internal/redis/use.lua).
const generationField = "G"

// families are those in Redis, and the key that makes their refresh tokens.
type families struct {
	*redis.Client

	keyID string
	key   []byte
}

func (l *lab) openFamilies() (*families, error) {
	text, err := os.ReadFile(l.file("ring.keys"))
	if err != nil {
		return nil, err
	}
	f := new(families)
	id, encoded, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if f.keyID = id; id == "" {
		return nil, errors.New("ring.keys holds no key")
	}
	if f.key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
		return nil, fmt.Errorf("ring.keys: %w", err)
	}
	opts, err := redis.ParseURL(l.stores.RedisURL)
	if err != nil {
		return nil, err
	}
	f.Client = redis.NewClient(opts)
	return f, nil
}

// mint makes a refresh token as the auth service does (docs/sessions.md): so
// there can be more sessions than anybody has time to hash passwords for.
func (f *families) mint(family string, generation int) string {
	signed := fmt.Sprintf("v1.%s.%s.%d", f.keyID, family, generation)
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// measure finds what a family costs in Redis, all included: its hash, its key,
// and its places in the tables of keys and of expiries. It has Redis copy real
// families and looks at how its memory grows; MEMORY USAGE alone would leave
// the tables out. It returns the copies, which are sessions as good as theirs.
func (f *families) measure(ctx context.Context, sessions []*session, name string, found *figures) ([]*session, error) {
	var hash, sum float64
	generations := make([]int, len(sessions))
	for i, s := range sessions {
		bytes, err := f.MemoryUsage(ctx, key(s.id)).Result()
		if err != nil {
			return nil, fmt.Errorf("memory of %s: %w", key(s.id), err)
		}
		if generations[i], err = f.HGet(ctx, key(s.id), generationField).Int(); err != nil {
			return nil, err
		}
		hash, sum = hash+float64(bytes), sum+float64(generations[i])
	}
	before, err := usedMemory(ctx, f.Client)
	if err != nil {
		return nil, err
	}
	made := make([]*session, 0, copies)
	for len(made) < copies { // in batches: buffers of the connection would count as memory of the families
		batch, err := f.copy(ctx, sessions, generations, 500)
		made = append(made, batch...)
		if err != nil {
			return made, err
		}
	}
	after, err := usedMemory(ctx, f.Client)
	if err != nil {
		return made, err
	}
	n := float64(len(sessions))
	found.add(name, 0, (after-before)/copies)
	found.add(strings.Replace(name, "family bytes", "family bytes by MEMORY USAGE", 1), 0, hash/n)
	if sum > n {
		found.add("family generation", 0, sum/n)
	}
	return made, nil
}

func key(family string) string { return "rf:{" + family + "}" }

func (f *families) copy(ctx context.Context, sessions []*session, generations []int, n int) ([]*session, error) {
	made := make([]*session, n)
	_, err := f.Pipelined(ctx, func(p redis.Pipeliner) error {
		bytes := make([]byte, 16)
		for i := range made {
			_, _ = rand.Read(bytes) // never fails
			id, from := base64.RawURLEncoding.EncodeToString(bytes), i%len(sessions)
			made[i] = &session{id: id, refresh: f.mint(id, generations[from])}
			p.Copy(ctx, key(sessions[from].id), key(id), 0, false)
		}
		return nil
	})
	return made, err
}

// age makes sessions as old as if they had rotated so often.
func (f *families) age(ctx context.Context, sessions []*session, generation int) error {
	for _, s := range sessions {
		if err := f.HSet(ctx, key(s.id), generationField, generation).Err(); err != nil {
			return err
		}
		s.refresh = f.mint(s.id, generation)
	}
	return nil
}

// forget removes families.
func (f *families) forget(ctx context.Context, sessions []*session) error {
	_, err := f.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, s := range sessions {
			p.Del(ctx, key(s.id))
		}
		return nil
	})
	return err
}

func usedMemory(ctx context.Context, client *redis.Client) (float64, error) {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("redis does not say what memory it uses")
}
