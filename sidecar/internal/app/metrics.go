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

// instruments are the metrics of the way of a request.
type instruments struct {
	requests *prometheus.CounterVec
	ends     *prometheus.CounterVec
	forms    *prometheus.CounterVec
	duration prometheus.Histogram

	mu       sync.RWMutex
	counters map[outcome]prometheus.Counter // of requests, looked up once each
}

// An outcome is what requests are counted by. There are few: statuses are of
// three digits and reasons are a closed list.
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
			Name: "session_end_total", Help: "Cookies that were taken from a browser, by why.",
		}, []string{"reason"}),
		forms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "forms_total", Help: "Forms that were posted after their session's end, by what became of them.",
		}, []string{"outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests by status and, where one went wrong, reason.",
		}, []string{"status", "reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "From the end of the request's head to the end of the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	r.MustRegister(i.requests, i.ends, i.forms, i.duration, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cached_sessions", Help: "Sessions in memory.",
	}, func() float64 { return float64(sessions.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "open_streams", Help: "Answers that are ended with their session.",
	}, func() float64 { return float64(streams.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "revocation_feed_silence_seconds", Help: "How long the revocation feed has not been heard; it beats every second.",
	}, func() float64 { return feed.Silence().Seconds() }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "client_memory_bytes", Help: "Memory that connections and requests of clients hold, as reckoned.",
	}, func() float64 { return float64(budget.Used()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "client_memory_limit_bytes", Help: "Memory that they may hold: close to it, those that wait longest for their clients are closed.",
	}, func() float64 { return float64(budget.Limit()) }))
	return i
}

// countEnd counts a cookie that was taken from a browser.
func (i *instruments) countEnd(reason api.EndReason) { i.ends.WithLabelValues(string(reason)).Inc() }

// newPropagation measures how long a revocation takes from the stream to here.
func newPropagation(r *prometheus.Registry) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "revocation_propagation_seconds", Help: "From the revocation stream to this sidecar, by their two clocks.",
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5},
	})
	r.MustRegister(h)
	return h
}
