package feed_test

import (
	"context"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/redistest"
)

// TestNothingIsMissedAfterAFailover: the new primary lacks the stream's end and its clock is behind.
// The client library reconnects by itself, so the feed sees no error.
func TestNothingIsMissedAfterAFailover(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := redistest.New(t)
	publish := func(id string) session.FamilyID {
		t.Helper()
		family := session.NewFamilyID()
		if err := client.Do(ctx, "XADD", "revocations", id, "sid", string(family), "reason", "logout").Err(); err != nil {
			t.Fatal(err)
		}
		return family
	}
	f := feed.New(redis.NewStream(client, time.Hour), time.Hour)
	follower := f.Follow("")
	defer follower.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, func(err error) { t.Log(err) })
	}()
	defer func() { cancel(); <-done }()
	want := func(family session.FamilyID) {
		t.Helper()
		for {
			entries, more := follower.Next()
			if len(entries) > 0 {
				if len(entries) > 1 || entries[0].Family != family {
					t.Fatalf("entries %v, want one of %s", entries, family)
				}
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				t.Fatalf("no entry of %s, want one", family)
			}
		}
	}

	want(publish("2000000000000-0"))
	for _, lost := range []string{"behind", "gone"} {
		if err := client.Del(ctx, "revocations").Err(); err != nil {
			t.Fatal(err)
		}
		if lost == "behind" {
			want(publish("1900000000000-0"))
		}
	}
	want(publish("1800000000000-0"))
}
