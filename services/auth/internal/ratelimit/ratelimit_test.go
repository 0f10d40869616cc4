package ratelimit

import (
	"crypto/rand"
	"testing"
	"time"
)

func TestSubject(t *testing.T) {
	for _, tt := range []struct {
		limit    Limit
		in, want string
	}{
		{LoginAddress, "192.0.2.7", "192.0.2.7"},
		{LoginAddress, "::ffff:192.0.2.7", "192.0.2.7"},
		{LoginAddress, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{RegistrationAddress, "2001:db8:1:2::", "2001:db8:1:2::/64"},
		{LoginAddress, "fe80::1%eth0", "fe80::/64"},
		{LoginAddress, "", ""},
		{LoginAddress, "nonsense", "nonsense"},
		{LoginAccount, "::1", "::1"}, // not an address
		{LoginDevice, "::1", "::1"},
		{FormAccount, "::1", "::1"},
		{FormTotal, "", ""},
	} {
		if got := tt.limit.Subject(tt.in); got != tt.want {
			t.Errorf("%v %q: got %q, want %q", tt.limit, tt.in, got, tt.want)
		}
	}
}

func TestDefaultRatesCoverEveryLimit(t *testing.T) {
	rates := DefaultRates()
	for _, limit := range All() {
		if len(rates[limit]) == 0 || limit.String() == "unknown" {
			t.Errorf("%v: rates %v, want at least one and a name", limit, rates[limit])
		}
		for i := 1; i < len(rates[limit]); i++ {
			if rates[limit][i-1].Period >= rates[limit][i].Period {
				t.Errorf("%v: rates are not in ascending order of Period, want the shortest first", limit)
			}
		}
	}
}

// Subjects that strangers can choose must not have long-lived keys of their own, which could fill
// the store.
func TestWhatStrangersChooseIsForgottenSoonOrShared(t *testing.T) {
	for _, limit := range []Limit{LoginAccount, LoginAddress, RegistrationAddress} {
		for i, rate := range DefaultRates()[limit] {
			if each := rate.Period / time.Duration(rate.Burst); each > time.Minute && rate.Counters == 0 {
				t.Errorf("%v, rate %d: each attempt is stored for %v, want at most a minute or shared counters", limit, i, each)
			}
		}
	}
}

func TestAnAccountHasABoundedNumberOfDevices(t *testing.T) {
	subjects := make(map[string]bool)
	for range 5000 {
		subjects[DeviceSubject("u1", rand.Text())] = true // a subset of the alphabet of session IDs
	}
	if len(subjects) < 16 || len(subjects) > 64 {
		t.Errorf("%d subjects for 5000 sessions, want 16 to 64", len(subjects))
	}
	if DeviceSubject("u1", "A") == DeviceSubject("u2", "A") {
		t.Error("two accounts share a subject, want different ones")
	}
}
