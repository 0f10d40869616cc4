package rotationtest

import (
	"errors"
	"testing"

	"lilypad.example/services/auth/internal/session"
)

// TestAFailoverTakesALogoutBack: a failover reverts the family, or the family and the stream, to
// their state before a logout. The first thing that happens then is that the token is presented.
func TestAFailoverTakesALogoutBack(t *testing.T) {
	for name, keys := range map[string]func(gone session.FamilyID) []string{
		"the family is reverted":                 func(gone session.FamilyID) []string { return []string{"rf:{" + string(gone) + "}"} },
		"the family and the stream are reverted": func(gone session.FamilyID) []string { return []string{"rf:{" + string(gone) + "}", "revocations"} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, noMinInterval)
			client := w.redis.Client(t)
			r := w.replica(0, client, nil, nil)
			first, gone, next := r.begin(t), r.begin(t), r.begin(t)
			revoke := func(s session.Session) {
				if err := r.Revoke(t.Context(), s.RefreshToken, "app"); err != nil {
					t.Fatal(err)
				}
			}
			revoke(first)
			var copies []string
			for _, key := range keys(gone.Family) {
				c, err := client.Dump(t.Context(), key).Result()
				if err != nil {
					t.Fatal(err)
				}
				copies = append(copies, c)
			}
			revoke(gone)
			for i, key := range keys(gone.Family) {
				if err := client.RestoreReplace(t.Context(), key, 0, copies[i]).Err(); err != nil {
					t.Fatal(err)
				}
			}
			w.epoch.Store("after the failover")
			revoke(next)
			for range 3 {
				if got, err := r.Refresh(t.Context(), gone.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonLogout {
					t.Errorf("refresh after logout and failover: %s because of %q, %v; want ErrInvalidGrant because of logout", got.Outcome, got.Reason, err)
				}
			}
		})
	}
}
