package httpserver

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkEvery is how long the answer of a readiness check is kept: probes of
// many clients cost a dependency one question a second.
const checkEvery = time.Second

// Readiness says whether this process wants traffic: it is not draining, and
// its check, if it has one, passes. Liveness never depends on others (T92).
type Readiness struct {
	ctx   context.Context //nolint:containedctx // the life of the program is what is asked about
	check func(context.Context) error

	mu   sync.Mutex
	at   time.Time
	last error
}

// NewReadiness returns a Readiness that is true while ctx lives and check
// (nil for none) returns nil. check is called at most once a second.
func NewReadiness(ctx context.Context, check func(context.Context) error) *Readiness {
	return &Readiness{ctx: ctx, check: check}
}

// Err returns nil when the process wants traffic, or why not.
func (r *Readiness) Err() error {
	if err := r.ctx.Err(); err != nil || r.check == nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) >= checkEvery {
		ctx, cancel := context.WithTimeout(r.ctx, 2*checkEvery)
		defer cancel()
		r.last, r.at = r.check(ctx), time.Now()
	}
	return r.last
}

// NewRegistry returns a registry with what every Go process reports.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Ops returns the handler of the operations port: /livez, /readyz, /metrics
// and /debug/pprof. It belongs on a port that no ingress reaches (T39).
func Ops(ready *Readiness, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready.Err(); err != nil {
			// Which dependency fails is in the log and the metrics, not here.
			w.Header().Set("Retry-After", strconv.Itoa(int(checkEvery/time.Second)))
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
