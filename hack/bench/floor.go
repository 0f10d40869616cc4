package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"

	"lilypad.example/services/pkg/process"
)

// redisVariable is the environment variable with the URL of Redis: arguments are visible to all
// users.
const redisVariable = "BENCH_REDIS_URL"

//go:embed floor.lua
var floorScript string

// floor does the minimum of a refresh: net/http, one EVALSHA about as large as a rotation, one
// ES256 signature, a JSON response. It does not authenticate clients, and records and counts
// nothing.
type floor struct {
	redis  *redis.Client
	script *redis.Script
	key    *ecdsa.PrivateKey
}

type floorClaims struct {
	jwt.RegisteredClaims

	Session  string   `json:"sid"`
	Roles    []string `json:"roles"`
	AuthTime int64    `json:"auth_time"`
}

// answer is the response to a refresh, of the floor and of the auth service.
type answer struct {
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	ExpiresIn    int       `json:"expires_in"`
	RefreshToken string    `json:"refresh_token"`
	SID          string    `json:"sid"`
	Roles        []string  `json:"roles"`
	ExpiresAt    time.Time `json:"expires_at"`
}

func serveFloor(ctx context.Context, at, redisURL string) error {
	opts, err := redis.ParseURL(redisURL)
	if err != nil {
		return errors.New(redisVariable + " is not a redis URL") // the error of ParseURL contains the password
	}
	f := &floor{redis: redis.NewClient(opts), script: redis.NewScript(floorScript)}
	defer f.redis.Close()
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	if err := f.script.Load(ctx, f.redis).Err(); err != nil {
		return fmt.Errorf("load script: %w", err)
	}
	return serve(ctx, at, http.HandlerFunc(f.refresh))
}

func (f *floor) refresh(w http.ResponseWriter, r *http.Request) {
	a, err := f.rotate(r.Context(), r.PostFormValue("refresh_token"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) //nolint:gosec // tokens are the purpose of the response
}

func (f *floor) rotate(ctx context.Context, family string) (answer, error) {
	const life, idle, overlap = 5 * time.Minute, 14 * 24 * time.Hour, 10 * time.Second
	v, err := f.script.EvalSha(ctx, f.redis, []string{"floor:{" + family + "}"},
		"o3wL0v1nYbQ", "k1", idle.Milliseconds(), overlap.Milliseconds()).StringSlice()
	if err != nil {
		return answer{}, err
	}
	if len(v) != 7 {
		return answer{}, fmt.Errorf("the script answers %q", v)
	}
	ends, err := strconv.ParseInt(v[6], 10, 64)
	if err != nil {
		return answer{}, err
	}
	now := time.Now()
	access, err := jwt.NewWithClaims(jwt.SigningMethodES256, floorClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: v[3], Audience: jwt.ClaimStrings{"auth", "frontend", "frogs"}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(life)),
		},
		Session: family, Roles: []string{}, AuthTime: now.Unix(),
	}).SignedString(f.key)
	return answer{
		AccessToken: access, TokenType: "Bearer", ExpiresIn: int(life.Seconds()), RefreshToken: family, SID: family,
		Roles: []string{}, ExpiresAt: time.UnixMilli(ends).UTC(),
	}, err
}

// serve serves HTTP at an address until ctx ends.
func serve(ctx context.Context, at string, h http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (l *lab) startFloor(ctx context.Context) (*server, error) {
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return l.start(ctx, program{
		name: "floor", address: at, path: l.self, args: []string{"floor", at}, env: append(goSettings(), redisVariable+"="+l.stores.RedisURL),
	}, func(ctx context.Context) error { return listens(ctx, at) })
}

func listens(ctx context.Context, at string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	return conn.Close()
}
