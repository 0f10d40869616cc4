package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/ratelimit/gcra"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/redistest"
)

// TestAPromotedReplicaThatMissedTheLastWrites kills a primary whose last acknowledged writes did
// not reach the replica. Live sessions must continue, and ended ones must stay ended.
func TestAPromotedReplicaThatMissedTheLastWrites(t *testing.T) {
	t.Parallel()
	primary, replica := redistest.StartTCP(t), redistest.StartTCP(t)
	replica.Follow(t, primary)
	s := newSessions(t)
	before := s.on(connect(t, primary.URL()))

	idle, busy, tabs, stolen := signIn(t, before), signIn(t, before), signIn(t, before), signIn(t, before)
	out, outLater, disabled := signIn(t, before), signIn(t, before), signIn(t, before)
	first := *stolen
	stolen.mustRefresh(t)
	signIn(t, before).signOut(t)
	replica.AwaitCaughtUp(t, primary)
	replica.Promote(t)

	// The primary acknowledges these writes, but the replica never gets them.
	for range 3 {
		busy.mustRefresh(t)
	}
	tabs.mustRefresh(t)
	otherTab := *tabs
	tabs.mustRefresh(t)
	young := signIn(t, before)
	young.mustRefresh(t)
	out.signOut(t)
	disabled.mustRefresh(t)
	if _, err := before.End(t.Context(), session.Which{Family: disabled.Family}, session.ReasonUserDisabled); err != nil {
		t.Fatal(err)
	}
	stolen.mustRefresh(t)
	first.mustBeEnded(t) // two generations behind: reuse
	primary.Stop()

	after := s.on(connect(t, replica.URL()))
	for _, b := range []*browser{idle, busy, tabs, &otherTab, stolen, &first, out, outLater, disabled, young} {
		b.service = after
	}
	// For a token that is ahead of the store the record is read, so these need no Reconcile.
	disabled.mustBeEnded(t)
	stolen.mustBeEnded(t)
	// The new stream gets an entry before Reconcile completes it.
	outLater.signOut(t)
	if err := after.Reconcile(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*browser{out, outLater, disabled, stolen, &first} {
		b.mustBeEnded(t)
	}
	for _, c := range []struct {
		name    string
		browser *browser
		want    session.Outcome
	}{
		{"three rotations ahead", busy, session.Healed},
		{"a tab that is behind another, and ahead of the replica", &otherTab, session.Healed},
		{"unknown to the replica", young, session.Rebuilt},
		{"as the replica knows it", idle, session.Rotated},
	} {
		if got := c.browser.mustRefresh(t); got != c.want {
			t.Errorf("%s: outcome %s, want %s", c.name, got, c.want)
		}
		if c.browser == &otherTab {
			continue
		}
		if got := c.browser.mustRefresh(t); got != session.Rotated {
			t.Errorf("%s: outcome of the second refresh %s, want %s", c.name, got, session.Rotated)
		}
	}
	// A token has one successor only, also across the failover.
	if otherTab.RefreshToken != tabs.RefreshToken {
		t.Error("the replica issued another successor than the primary, want the same")
	}
	if got := tabs.mustRefresh(t); got != session.Rotated {
		t.Errorf("the tab that was ahead: outcome %s, want %s", got, session.Rotated)
	}
}

// TestSentinelFailover kills the primary behind Sentinel. Refreshes must fail as an outage until
// the replica is promoted, and succeed then.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	servers := redistest.StartSentinels(t, 3)
	service := newSessions(t).on(connect(t, servers.URL()))
	lives, out, outMissed := signIn(t, service), signIn(t, service), signIn(t, service)
	out.signOut(t)
	servers.Replica.AwaitCaughtUp(t, servers.Primary)
	lives.mustRefresh(t)
	outMissed.signOut(t)
	servers.Primary.Stop()

	for range 3 {
		lives.mustBeUnavailable(t)
	}
	servers.LetThemFailOver(t)
	lives.recovers(t, func() {})
	if err := service.Reconcile(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	out.mustBeEnded(t)
	outMissed.mustBeEnded(t)
	if got := lives.mustRefresh(t); got != session.Rotated {
		t.Errorf("after the failover: outcome %s, want %s", got, session.Rotated)
	}
	signIn(t, service).mustRefresh(t)
}

// TestAClusterLosesAPrimary kills the primary that holds the stream and some of the families.
func TestAClusterLosesAPrimary(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	service := newSessions(t).on(connect(t, cluster.URL()))
	dies := cluster.Shard(t, "revocations")
	var there, elsewhere []*browser
	for len(there) < 4 || len(elsewhere) < 4 {
		b := signIn(t, service)
		if cluster.Shard(t, "rf:{"+string(b.Family)+"}") == dies {
			there = append(there, b)
		} else {
			elsewhere = append(elsewhere, b)
		}
	}
	out := []*browser{there[0], elsewhere[0]}
	there, elsewhere = there[1:], elsewhere[1:]
	for _, b := range out {
		b.signOut(t)
	}
	for _, b := range there {
		b.mustRefresh(t)
	}
	cluster.Primary(dies).Stop()

	others := func() {
		for _, b := range elsewhere {
			if got := b.mustRefresh(t); got != session.Rotated {
				t.Fatalf("family on another primary: outcome %s, want %s", got, session.Rotated)
			}
		}
	}
	others()
	for _, b := range there {
		b.mustBeUnavailable(t)
	}
	others()
	// A logout that is not published yet returns an error, but it is durable.
	if err := service.Revoke(t.Context(), there[0].RefreshToken, "app"); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("logout without the stream: error %v, want %v", err, session.ErrUnavailable)
	}
	out, there = append(out, there[0]), there[1:]

	cluster.LetItFailOver(t)
	for _, b := range there {
		b.recovers(t, others)
	}
	others()
	if err := service.Reconcile(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, b := range out {
		b.mustBeEnded(t)
	}
	for _, b := range there {
		if got := b.mustRefresh(t); got != session.Rotated {
			t.Errorf("after the failover: outcome %s, want %s", got, session.Rotated)
		}
	}
}

// TestALogoutThatAFamilysShardLostStaysDone promotes a replica that missed a logout and a rotation,
// in a shard of families without the stream. Nothing calls Reconcile.
func TestALogoutThatAFamilysShardLostStaysDone(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	service := newSessions(t).on(connect(t, cluster.URL()))
	stream := cluster.Shard(t, "revocations")
	dies := (stream + 1) % 3
	on := func() *browser {
		for {
			if b := signIn(t, service); cluster.Shard(t, "rf:{"+string(b.Family)+"}") == dies {
				b.mustRefresh(t)
				return b
			}
		}
	}
	out, lives, rotates := on(), on(), on()
	cluster.Replica(dies).AwaitCaughtUp(t, cluster.Primary(dies))
	cluster.CutReplica(t, dies)
	out.signOut(t)
	rotates.mustRefresh(t)
	cluster.Primary(dies).Stop()
	cluster.LetItFailOver(t)

	lives.recovers(t, func() {})
	for range 3 {
		out.mustBeEnded(t)
	}
	for _, b := range []*browser{lives, rotates} {
		b.mustRefresh(t)
		if got := b.mustRefresh(t); got != session.Rotated {
			t.Errorf("after the failover: outcome %s, want %s", got, session.Rotated)
		}
	}
}

// TestOnACluster checks that families, stream, rate limits and Check work as on a single server.
func TestOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t)
	client := connect(t, cluster.URL())
	t.Run("families", func(t *testing.T) { conformance(t, client) })
	t.Run("stream", func(t *testing.T) { testStream(t, client) })
	t.Run("rate limits", func(t *testing.T) { testRateLimits(t, client) })
	t.Run("one primary evicts", func(t *testing.T) {
		if err := cluster.Primary(2).Client(t).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := redis.Connect(t.Context(), cluster.URL(), nil); err == nil || !strings.Contains(err.Error(), "noeviction") {
			t.Errorf("Cluster with one primary that evicts: error %v, want it to name noeviction", err)
		}
	})
}

func testStream(t *testing.T, client goredis.UniversalClient) {
	stream := redis.NewStream(client, time.Hour)
	want := []session.Revocation{
		{Family: session.NewFamilyID(), Reason: session.ReasonLogout}, {Family: session.NewFamilyID(), Reason: session.ReasonReuse},
	}
	for _, all := range [][]session.Revocation{want[:1], nil, want[1:]} {
		if err := stream.Publish(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	got, err := stream.Read(t.Context(), "0")
	if err != nil || len(got) != 2 || got[0].Revocation != want[0] || got[1].Revocation != want[1] {
		t.Fatalf("read %+v, %v; want %+v", got, err, want)
	}
	if got, err = stream.Read(t.Context(), got[1].ID); err != nil || len(got) != 0 {
		t.Errorf("read after the last entry: %+v, %v; want nothing", got, err)
	}
	testLead(t, stream)
}

// testLead checks that one replica at a time is the leader, and that Incomplete is set until it has
// completed the stream.
func testLead(t *testing.T, stream *redis.Stream) {
	t.Helper()
	lead := func(replica string, life time.Duration) session.Lead {
		t.Helper()
		l, err := stream.Lead(t.Context(), replica, life)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := lead("a", time.Hour)
	if !first.Leader || first.Incomplete == "" {
		t.Errorf("first call: %+v, want the leader of an incomplete stream", first)
	}
	if l := lead("b", time.Hour); l.Leader {
		t.Errorf("another replica: %+v, want it not to be the leader", l)
	}
	if err := stream.Complete(t.Context(), first.Incomplete); err != nil {
		t.Fatal(err)
	}
	if l := lead("a", time.Millisecond); !l.Leader || l.Incomplete != "" {
		t.Errorf("the leader after Complete: %+v, want the leader of a complete stream", l)
	}
	eventually(t, "another replica leads after the lease", func() bool { return lead("b", time.Hour).Leader })
	other := stream.WithEpoch(func() session.Epoch { return "after a failover" })
	if l, err := other.Lead(t.Context(), "b", time.Hour); err != nil || l.Incomplete != "after a failover" {
		t.Errorf("after a failover: %+v, %v; want Incomplete to be the new epoch", l, err)
	}
}

// eventually waits until ok returns true, and fails the test after patience.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("timed out, want: " + what)
		case <-again.C:
		}
	}
}

// testRateLimits uses many subjects, so that every primary holds some.
func testRateLimits(t *testing.T, client goredis.UniversalClient) {
	limiter, err := gcra.New(client, func() [][]byte { return [][]byte{[]byte("secret")} }, ratelimit.DefaultRates())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		subject := fmt.Sprintf("frog%d@example.com", i)
		if d, err := limiter.Allow(t.Context(), ratelimit.LoginAccount, subject); err != nil || !d.Allowed {
			t.Errorf("Allow: %+v, %v; want allowed", d, err)
		}
		if err := limiter.Reset(t.Context(), ratelimit.LoginAccount, subject); err != nil {
			t.Error(err)
		}
	}
}
