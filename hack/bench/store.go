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

// copies is the number of families over which memory is averaged, and the number of sessions of the
// large measurements.
const copies = 100_000

// generationField is the field of a family's generation (services/auth/internal/redis/use.lua).
const generationField = "G"

// families is a client of Redis, and the ring key for refresh tokens.
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

// mint makes a refresh token like the auth service (docs/sessions.md), so that there can be many
// sessions without hashing a password for each.
func (f *families) mint(family string, generation int) string {
	signed := fmt.Sprintf("v1.%s.%s.%d", f.keyID, family, generation)
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// measure measures the memory of a family in Redis, with its share of the tables of keys and of
// expiries, which MEMORY USAGE omits: it copies families and compares the memory before and after.
// It returns the copies, which are valid sessions.
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
	for len(made) < copies { // in batches, because buffers of the connection count as memory
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

// age sets the generation of sessions as if they had rotated that often.
func (f *families) age(ctx context.Context, sessions []*session, generation int) error {
	for _, s := range sessions {
		if err := f.HSet(ctx, key(s.id), generationField, generation).Err(); err != nil {
			return err
		}
		s.refresh = f.mint(s.id, generation)
	}
	return nil
}

// forget deletes families.
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
