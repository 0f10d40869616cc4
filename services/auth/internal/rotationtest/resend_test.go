package rotationtest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// TestDecideIsIdempotent: go-redis resends a command when the response is lost, so presenting a
// token twice at the same time must have the effect of presenting it once, in every state.
func TestDecideIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		epoch := time.Unix(1_800_000_000, 0)
		flag := rapid.Bool()
		client, presenter := rapid.SampledFrom([]string{"app", "other"}), rapid.SampledFrom([]string{"alice", "bob"})
		key := rapid.SampledFrom([]string{"k1", "k2"})
		before := session.Family{
			Generation: rapid.Uint64Range(1, 5).Draw(t, "current"), Rotated: epoch, Confirmed: flag.Draw(t, "confirmed"),
			RotatedBy: presenter.Draw(t, "rotated by"), PardonedBefore: flag.Draw(t, "pardoned before"), Pardoned: flag.Draw(t, "pardoned"),
			Client: "app", KeyID: key.Draw(t, "key"), End: epoch.Add(time.Hour), Revoked: flag.Draw(t, "revoked"),
			Verified: rapid.SampledFrom([]session.Epoch{"", "now"}).Draw(t, "verified"),
		}
		p := session.Presentation{
			Generation: rapid.Uint64Range(1, 7).Draw(t, "shown"), Client: client.Draw(t, "client"), KeyID: key.Draw(t, "shown key"),
			Presenter: presenter.Draw(t, "presenter"), SuccessorKeyID: key.Draw(t, "signing key"),
			Epoch: "now", Settled: rapid.SampledFrom([]session.Doubt{"", "now.", "now.now"}).Draw(t, "settled"),
			Challenge: rapid.SampledFrom([]time.Time{{}, time.UnixMilli(0)}).Draw(t, "challenge"),
			Now:       epoch.Add(time.Duration(rapid.SampledFrom([]int{-1, 0, 4, 5, 6, 10, 11, 60, 3599, 3600}).Draw(t, "seconds")) * time.Second),
		}
		first, after := redis.Decide(before, p, policy)
		second, again := redis.Decide(after, p, policy)
		if again != after || second.Granted() != first.Granted() {
			t.Fatalf("%+v presented to %+v: %s, then %s\nfirst %+v\nthen  %+v\nwant the same state and decision", p, before, first, second, after, again)
		}
	})
}
