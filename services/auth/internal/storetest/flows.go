package storetest

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/signin"
)

// Flows is the conformance suite of signin.Flows.
func Flows(t *testing.T, f signin.Flows) {
	t.Helper()
	t.Run("a flow is taken once", func(t *testing.T) {
		want := signin.Flow{
			Request: signin.Request{Nonce: "n", Verifier: "v", RedirectURI: "https://app.example/cb", MaxAge: new(0), ACRValues: []string{"mfa"}},
			Next:    "/pond?a=b", Account: "u1", Link: true, Begun: time.Now().UTC().Truncate(time.Millisecond),
		}
		must(t, f.Keep(t.Context(), "k1", want))
		if _, err := f.Take(t.Context(), "k2"); !errors.Is(err, signin.ErrUnknownFlow) {
			t.Errorf("another key: %v, want ErrUnknownFlow", err)
		}
		var all sync.WaitGroup
		var taken atomic.Int32
		for range 8 {
			all.Go(func() {
				got, err := f.Take(t.Context(), "k1")
				switch {
				case err == nil:
					taken.Add(1)
					if !reflect.DeepEqual(got, want) {
						t.Errorf("got %+v, want %+v", got, want)
					}
				case !errors.Is(err, signin.ErrUnknownFlow):
					t.Errorf("take: %v, want the flow or ErrUnknownFlow", err)
				}
			})
		}
		all.Wait()
		if taken.Load() != 1 {
			t.Errorf("taken %d times, want 1", taken.Load())
		}
	})
}
