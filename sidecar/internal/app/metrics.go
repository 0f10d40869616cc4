package app

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/revocation"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/stream"
)

// instruments are the metrics of requests.
type instruments struct {
	requests *prometheus.CounterVec
	ends     *prometheus.CounterVec
	forms    *prometheus.CounterVec
	duration prometheus.Histogram

	mu       sync.RWMutex
	counters map[outcome]prometheus.Counter // cached children of requests
}

// An outcome is the labels of a request counter. Their number is bounded: a status
// has three digits, and reasons are a closed list.
type outcome struct {
	status int
	reason http1.Reason
}

// count counts one request.
func (i *instruments) count(status int, reason http1.Reason) {
	o := outcome{status, reason}
	i.mu.RLock()
	counter := i.counters[o]
	i.mu.RUnlock()
	if counter == nil {
		counter = i.requests.WithLabelValues(strconv.Itoa(status), string(reason))
		i.mu.Lock()
		i.counters[o] = counter
		i.mu.Unlock()
	}
	counter.Inc()
}

func newInstruments(r *prometheus.Registry, sessions *session.Cache, streams *stream.Registry[http1.Handle], feed *revocation.Follower, budget *http1.Budget) *instruments {
	i := &instruments{
		counters: make(map[outcome]prometheus.Counter),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "session_end_total", Help: "Session cookies removed from browsers, by reason.",
		}, []string{"reason"}),
		forms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "forms_total", Help: "Forms posted after their session had ended, by outcome.",
		}, []string{"outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests by status and, for failed ones, reason.",
		}, []string{"status", "reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from the end of the request header to the end of the response.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	r.MustRegister(i.requests, i.ends, i.forms, i.duration, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cached_sessions", Help: "Sessions in memory.",
	}, func() float64 { return float64(sessions.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "open_streams", Help: "Responses in progress that are aborted when their session ends.",
	}, func() float64 { return float64(streams.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "revocation_feed_silence_seconds", Help: "Time since the last message of the revocation feed, which sends one every second.",
	}, func() float64 { return feed.Silence().Seconds() }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "client_memory_bytes", Help: "Estimated memory in use by client connections and requests.",
	}, func() float64 { return float64(budget.Used()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "client_memory_limit_bytes", Help: "Limit of client_memory_bytes. Near it, the slowest connections are closed.",
	}, func() float64 { return float64(budget.Limit()) }))
	return i
}

// countEnd counts a cookie that was taken from a browser.
func (i *instruments) countEnd(reason api.EndReason) { i.ends.WithLabelValues(string(reason)).Inc() }

// newPropagation returns the histogram of revocation delays.
func newPropagation(r *prometheus.Registry) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "revocation_propagation_seconds", Help: "Time from the revocation to its arrival at this sidecar, by the clocks of both.",
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5},
	})
	r.MustRegister(h)
	return h
}
