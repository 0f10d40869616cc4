package main

import (
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	var sorted []time.Duration
	for i := range 200 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{1: 2, 50: 100, 99: 198, 100: 200} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %d of 1 to 200 is %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 99); got != 0 {
		t.Errorf("percentile of no values is %v, want 0", got)
	}
	if got := percentile(sorted[:1], 99); got != 1 {
		t.Errorf("percentile 99 of one value is %v, want that value", got)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestStatFieldsSurviveAnyName(t *testing.T) {
	stat := statFields("42 (a) b (c)) S 1 4242 42 0 -1 0 0 0 0 0 17 29 0 0 20")
	if stat[statGroup] != "4242" || stat[statUser] != "17" || stat[statSystem] != "29" {
		t.Errorf("group %s, user %s, system %s; want 4242, 17, 29", stat[statGroup], stat[statUser], stat[statSystem])
	}
}

const wrkSays = `Running 5s test @ http://127.0.0.1:8080/
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.11ms    2.03ms  31.02ms   92.80%
    Req/Sec    21.57k     3.09k   27.41k    70.00%
  Latency Distribution
     50%  456.00us
     75%    1.02ms
     90%    2.50ms
     99%    1.20s
  214810 requests in 5.01s, 237.22MB read
Requests/sec:  42876.25
Transfer/sec:     47.35MB
`

func TestReadWrk(t *testing.T) {
	got, err := readWrk(wrkSays)
	if want := (pass{requests: 214810, perSecond: 42876.25, p50: 0.456, p99: 1200}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestReadWrkCountsRefusals(t *testing.T) {
	got, err := readWrk(wrkSays + "  Non-2xx or 3xx responses: 3\n")
	if err != nil || got.refused != 3 {
		t.Errorf("got %+v, %v; want 3 refusals", got, err)
	}
}

func TestReadWrkRefusesARunWithFailures(t *testing.T) {
	for _, out := range []string{wrkSays + "  Socket errors: connect 0, read 1, write 0, timeout 0\n", "unable to connect"} {
		if _, err := readWrk(out); err == nil {
			t.Errorf("output %q is accepted, want an error", out)
		}
	}
}
