package redis_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/redistest"
)

func conformance(t *testing.T, client goredis.UniversalClient) {
	storetest.Families(t, func(policy session.Policy, now func() time.Time, epoch func() session.Epoch) session.Store {
		return redis.NewFamilies(client, policy).WithClock(now).WithEpoch(epoch)
	})
}

func TestFamiliesOnRedis(t *testing.T) { conformance(t, redistest.New(t)) }

func TestFamiliesOnMiniredis(t *testing.T) {
	_, client := redistest.Mini(t)
	conformance(t, client)
}

func TestTimeIsTheServers(t *testing.T) {
	store := redis.NewFamilies(redistest.New(t), session.Policy{Overlap: time.Hour, Idle: time.Hour})
	b := session.Beginning{Family: session.NewFamilyID(), Generation: 1, Rotated: time.Now(), Subject: "u", Client: "app", KeyID: "k", AuthTime: time.Now(), End: time.Now().Add(time.Hour)}
	if err := store.Begin(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	g, err := store.Use(t.Context(), b.Family, session.Presentation{Generation: 1, Client: "app", KeyID: "k", SuccessorKeyID: "k"})
	if err != nil || g.Outcome != session.Rotated {
		t.Errorf("use: %+v, %v; want %s", g, err, session.Rotated)
	}
}

func TestIdleAndAbsoluteEnd(t *testing.T) {
	client := redistest.New(t)
	store := redis.NewFamilies(client, session.Policy{Overlap: time.Second, Idle: time.Hour})
	for name, c := range map[string]struct{ end, want time.Duration }{
		"idle is nearer":     {48 * time.Hour, time.Hour},
		"absolute is nearer": {time.Minute, time.Minute},
	} {
		b := session.Beginning{Family: session.NewFamilyID(), Generation: 1, Rotated: time.Now(), Subject: "u", Client: "app", KeyID: "k", AuthTime: time.Now(), End: time.Now().Add(c.end)}
		if err := store.Begin(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"begun", "used"} {
			ttl, err := client.PTTL(t.Context(), "rf:{"+string(b.Family)+"}").Result()
			if err != nil || ttl > c.want || ttl < c.want-30*time.Second {
				t.Errorf("%s, %s: expires in %s, %v, want %s", name, step, ttl, err, c.want)
			}
			if _, err := store.Use(t.Context(), b.Family, session.Presentation{Generation: 1, Client: "app", KeyID: "k", SuccessorKeyID: "k"}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRedisHoldsNoCredential checks that a reader of Redis cannot act as a user.
func TestRedisHoldsNoCredential(t *testing.T) {
	client := redistest.New(t)
	ring, err := session.ParseRing([]byte(session.NewRingLine()))
	if err != nil {
		t.Fatal(err)
	}
	service := session.NewService(session.Config{
		Store: redis.NewFamilies(client, session.Policy{Idle: time.Hour}), Records: new(memory.Sessions), Stream: redis.NewStream(client, time.Hour),
		Ring: func() *session.Ring { return ring }, Absolute: time.Hour, Now: time.Now,
	})
	s, err := service.Begin(t.Context(), session.Account{ID: "u"}, "app", "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.HGetAll(t.Context(), "rf:{"+string(s.Family)+"}").Result()
	if err != nil || len(all) == 0 {
		t.Fatalf("hash of the family: %v, %v; want fields", all, err)
	}
	mac := s.RefreshToken[strings.LastIndexByte(s.RefreshToken, '.')+1:]
	for field, value := range all {
		if strings.Contains(value, mac) || strings.Contains(value, s.RefreshToken) {
			t.Errorf("field %s contains the MAC of a refresh token", field)
		}
	}
}

func TestOutageIsNoLogout(t *testing.T) {
	server := redistest.Start(t)
	store := redis.NewFamilies(server.Client(t), session.Policy{Idle: time.Hour})
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := store.Use(ctx, session.NewFamilyID(), session.Presentation{Generation: 1}); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("use: error %v, want %v", err, session.ErrUnavailable)
	}
	if err := store.Revoke(ctx, []session.Revocation{{Family: session.NewFamilyID(), Reason: session.ReasonLogout}}); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("revoke: error %v, want %v", err, session.ErrUnavailable)
	}
}

// TestNonsenseIsAnOutage uses a server that answers every command with the same word.
func TestNonsenseIsAnOutage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				b := make([]byte, 4096)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write([]byte("*1\r\n$5\r\nfroggy\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	client := goredis.NewClient(&goredis.Options{Addr: l.Addr().String(), Protocol: 2, DisableIdentity: true, MaxRetries: -1, ReadTimeout: time.Second})
	defer func() { _ = client.Close() }()
	store := redis.NewFamilies(client, session.Policy{Idle: time.Hour})
	if g, err := store.Use(t.Context(), session.NewFamilyID(), session.Presentation{Generation: 1}); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("use: %+v, error %v; want %v", g, err, session.ErrUnavailable)
	}
}

func TestEvictingRedisIsRefused(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	_, err := redis.Connect(t.Context(), server.URL(), nil)
	if err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("Redis that evicts: error %v, want it to name noeviction", err)
	}
	client, err := redis.Connect(t.Context(), redistest.Start(t).URL(), nil)
	if err != nil {
		t.Fatalf("Redis with the default policy: error %v, want none", err)
	}
	_ = client.Close()
}
