package ratelimit

import "testing"

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
		{LoginAccount, "::1", "::1"}, // looks like an address, is none
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
			t.Errorf("%v: %v", limit, rates[limit])
		}
		for i := 1; i < len(rates[limit]); i++ {
			if rates[limit][i-1].Period >= rates[limit][i].Period {
				t.Errorf("%v: the shortest rate must come first", limit)
			}
		}
	}
}
