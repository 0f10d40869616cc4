package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
)

// TestSessionShowTellsTheWholeStory shows one session from its beginning to its end, also after
// Redis lost it and while Redis is unavailable.
func TestSessionShowTellsTheWholeStory(t *testing.T) {
	server := redistest.Start(t)
	stores := app.Stores{
		Store: "external", DatabaseURL: config.NewSecret(pgtest.URL(t, nil)), RedisURL: config.NewSecret(server.URL()),
	}
	store, err := app.OpenPostgres(t.Context(), stores)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	u := storetest.NewUser(t, "fred@pond.example")
	must(t, store.Create(t.Context(), u))

	ring, err := session.ParseRing([]byte(session.NewRingLine()))
	must(t, err)
	client := server.Client(t)
	// Without an overlap, a stale token needs a pardon.
	families := redis.NewFamilies(client, session.Policy{Overlap: -time.Second, Idle: time.Hour})
	service := session.NewService(session.Config{
		Store: families, Records: store.Sessions(), Stream: redis.NewStream(client, time.Hour), Observer: noObserver{},
		Ring: func() *session.Ring { return ring }, Absolute: 2 * time.Hour, Rebuild: true, Now: time.Now,
	})
	first, err := service.Begin(t.Context(), session.Account{ID: u.ID, Version: 1}, "shop/web", "Firefox")
	must(t, err)
	refresh := func(token, agent string) session.Session {
		t.Helper()
		s, err := service.Refresh(t.Context(), token, "shop/web", session.Evidence{UserAgent: agent})
		must(t, err)
		return s
	}
	want := func(step string, lines ...string) {
		t.Helper()
		var out bytes.Buffer
		if err := (&sessionShow{oneSession{stores, string(first.Family)}}).Run(t.Context(), config.Program{Stdout: &out}); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		for _, line := range lines {
			if !regexp.MustCompile("(?m)^" + line + "$").MatchString(out.String()) {
				t.Errorf("%s: no line %q in\n%s", step, line, out.String())
			}
		}
		if strings.Contains(out.String(), first.RefreshToken) {
			t.Errorf("%s: the output contains a refresh token", step)
		}
	}

	want("begun", `user      `+u.ID, `client    shop/web`, `device    Firefox`, `state     lives`,
		`redis     lives, at generation 1 of key \S+; its browser has shown it`, `pardons   none used`, `expires   \S+Z unless it is used`)
	second := refresh(first.RefreshToken, "Firefox")
	want("rotated", `redis     lives, at generation 2 of key \S+; its browser has not shown it yet`, `rotated   20\S+Z`)
	refresh(first.RefreshToken, "another browser")
	want("pardoned", `pardons   one used in this generation`)
	refresh(second.RefreshToken, "Firefox")
	want("and rotated", `redis     lives, at generation 3 .*`, `pardons   one used in the generation before`)
	must(t, client.FlushAll(t.Context()).Err())
	want("lost", `state     lives`, `redis     does not have it: .*`)
	must(t, service.Revoke(t.Context(), first.RefreshToken, "shop/web"))
	want("signed out", `state     was ended \S+Z: logout`, `redis     knows only that it was ended: logout`)
	server.Stop()
	want("Redis away", `state     was ended \S+Z: logout`, `redis     cannot say: redis is not reachable: .*`)
	stores.RedisURL = config.Secret{}
	want("Redis not named", `redis     was not asked: LILYPAD_REDIS_URL is not set`)

	err = (&sessionShow{oneSession{stores, string(session.NewFamilyID())}}).Run(t.Context(), config.Program{})
	if err == nil || !strings.Contains(err.Error(), "there is no session") {
		t.Errorf("unknown session: error %v, want \"there is no session\"", err)
	}
}

// TestAnOperatorEndsASession lists the sessions of an account by its e-mail address and ends one.
func TestAnOperatorEndsASession(t *testing.T) {
	stores := app.Stores{Store: "external", DatabaseURL: config.NewSecret(pgtest.URL(t, nil))}
	store, err := app.OpenPostgres(t.Context(), stores)
	must(t, err)
	t.Cleanup(store.Close)
	u := storetest.NewUser(t, "fred@pond.example")
	must(t, store.Create(t.Context(), u))
	now := time.Now()
	ended, other := session.NewFamilyID(), session.NewFamilyID()
	for _, family := range []session.FamilyID{ended, other} {
		must(t, store.Sessions().Add(t.Context(), session.Record{
			Family: family, Subject: u.ID, Client: "shop/web", Device: "Firefox", Begun: now, Seen: now, End: now.Add(time.Hour),
		}, 1, 0))
	}
	list := func() string {
		t.Helper()
		var out bytes.Buffer
		must(t, (&sessionList{userState{stores, u.Email}}).Run(t.Context(), config.Program{Stdout: &out}))
		return out.String()
	}
	if said := list(); !strings.Contains(said, string(ended)) || !strings.Contains(said, string(other)) || !strings.Contains(said, "Firefox") {
		t.Errorf("want both sessions, of Firefox, in:\n%s", said)
	}
	end := &sessionEnd{oneSession{stores, string(ended)}}
	must(t, end.Run(t.Context(), config.Program{Stdout: new(bytes.Buffer)}))
	r, err := store.Sessions().Get(t.Context(), ended)
	must(t, err)
	if r.Revoked.IsZero() || r.Reason != session.ReasonAdmin {
		t.Errorf("record is %+v, want it revoked for reason %q", r, session.ReasonAdmin)
	}
	if said := list(); strings.Contains(said, string(ended)) || !strings.Contains(said, string(other)) {
		t.Errorf("want only session %s in:\n%s", other, said)
	}
	if err := end.Run(t.Context(), config.Program{}); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("ending it again: error %v, want \"ended before\"", err)
	}
	err = (&sessionList{userState{stores, "nobody@pond.example"}}).Run(t.Context(), config.Program{})
	if err == nil || !strings.Contains(err.Error(), "there is no account") {
		t.Errorf("unknown account: error %v, want \"there is no account\"", err)
	}
}

type noObserver struct{}

func (noObserver) Refreshed(session.Outcome) {}
func (noObserver) Ended(session.Record)      {}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
