package stream_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/sidecar/internal/stream"
)

type exchange struct{ ended *atomic.Bool }

func (e exchange) Abort() { e.ended.Store(true) }

func open() exchange { return exchange{new(atomic.Bool)} }

func TestEndAbortsTheStreamsOfOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stream.New[exchange]()
		a, b, gone, other := open(), open(), open(), open()
		end := time.Now().Add(time.Hour)
		removeA := r.Add("s1", a, end)
		removeB := r.Add("s1", b, end)
		r.Add("s1", gone, end)()
		removeOther := r.Add("s2", other, end)
		if r.Len() != 3 {
			t.Errorf("Len = %d, want 3", r.Len())
		}
		r.End("s1")
		if !a.ended.Load() || !b.ended.Load() || gone.ended.Load() || other.ended.Load() {
			t.Errorf("ended: %v %v, removed %v, other session %v; want the first two only", a.ended.Load(), b.ended.Load(), gone.ended.Load(), other.ended.Load())
		}
		for _, remove := range []func(){removeA, removeB, removeOther} {
			remove()
		}
		r.End("s1")
		if r.Len() != 0 {
			t.Errorf("Len = %d after all were removed, want 0", r.Len())
		}
	})
}

func TestStreamsAreAbortedAtTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stream.New[exchange]()
		long, short := open(), open()
		defer r.Add("s1", long, time.Now().Add(time.Minute))()
		r.Add("s1", short, time.Now().Add(time.Minute))()
		time.Sleep(59 * time.Second) // the bubble's clock
		if long.ended.Load() {
			t.Error("aborted before its end, want open")
		}
		time.Sleep(2 * time.Second) // the bubble's clock
		if !long.ended.Load() || short.ended.Load() {
			t.Errorf("aborted: %v, removed one: %v; want only the first", long.ended.Load(), short.ended.Load())
		}
	})
}
