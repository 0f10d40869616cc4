package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// copies is how many families the memory of one is averaged over.
const copies = 20_000

// measureStore finds what a family costs in Redis, all included: its hash, its
// key, and its places in the tables of keys and of expiries. It has Redis copy
// real families 20 000 times and looks at how its memory grows; MEMORY USAGE
// alone would leave the tables out.
func measureStore(ctx context.Context, l *lab, sessions []*session, name string, found *figures) (err error) {
	opts, err := redis.ParseURL(l.stores.RedisURL)
	if err != nil {
		return err
	}
	client := redis.NewClient(opts)
	defer client.Close()
	var hash, generations float64
	for _, s := range sessions {
		bytes, err := client.MemoryUsage(ctx, key(s.id)).Result()
		if err != nil {
			return fmt.Errorf("memory of %s: %w", key(s.id), err)
		}
		g, err := client.HGet(ctx, key(s.id), "G").Float64()
		if err != nil {
			return err
		}
		hash, generations = hash+float64(bytes), generations+g
	}
	before, err := usedMemory(ctx, client)
	if err != nil {
		return err
	}
	var made []string
	defer func() {
		if len(made) > 0 {
			err = errors.Join(err, client.Del(ctx, made...).Err())
		}
	}()
	for len(made) < copies { // in batches: buffers of the connection would count as memory of the families
		batch, err := copyFamilies(ctx, client, sessions, 500)
		if err != nil {
			return err
		}
		made = append(made, batch...)
	}
	after, err := usedMemory(ctx, client)
	if err != nil {
		return err
	}
	n := float64(len(sessions))
	found.add(name, 0, (after-before)/copies)
	found.add(strings.Replace(name, "family bytes", "family bytes by MEMORY USAGE", 1), 0, hash/n)
	if generations > n {
		found.add("family generation", 0, generations/n)
	}
	return nil
}

func key(family string) string { return "rf:{" + family + "}" }

func copyFamilies(ctx context.Context, client *redis.Client, sessions []*session, n int) ([]string, error) {
	made := make([]string, n)
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		id := make([]byte, 16)
		for i := range made {
			_, _ = rand.Read(id) // never fails
			made[i] = key(base64.RawURLEncoding.EncodeToString(id))
			p.Copy(ctx, key(sessions[i%len(sessions)].id), made[i], 0, false)
		}
		return nil
	})
	return made, err
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
