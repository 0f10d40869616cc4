package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// cookieName is the session cookie.
const cookieName = "__Host-Http-lilypad"

// pass is the result of a proxy in one turn of wrk.
type pass struct {
	requests, refused           int
	micros, perSecond, p50, p99 float64
}

func measureProxies(ctx context.Context, l *lab, o options, auth, upstream string, s *session, found *figures) error {
	proxies, err := l.startProxies(ctx, auth, upstream)
	if err != nil {
		return err
	}
	side := proxies[0]
	if err := settle(ctx, side.address, s); err != nil {
		return err
	}
	header := pageHeader(s)
	passes := make(map[string][]pass)
	for round := range o.rounds {
		for _, p := range proxies {
			l.say("round %d: %s", round+1, p.Name)
			if _, err := served(ctx, p, header, time.Second); err != nil { // warm-up
				return err
			}
			done, err := served(ctx, p, header, o.span())
			if err != nil {
				return err
			}
			passes[p.Name] = append(passes[p.Name], done)
		}
	}
	for _, p := range proxies {
		mine := passes[p.Name]
		found.add(p.Name+" cpu us", 1, medianOf(mine, func(p pass) float64 { return p.micros }))
		found.add(p.Name+" requests/s", 0, medianOf(mine, func(p pass) float64 { return p.perSecond }))
		found.add(p.Name+" p50 ms", 2, medianOf(mine, func(p pass) float64 { return p.p50 }))
		found.add(p.Name+" p99 ms", 2, medianOf(mine, func(p pass) float64 { return p.p99 }))
		peak, err := peak(p.Process)
		if err != nil {
			return err
		}
		found.add(p.Name+" peak MB", 1, float64(peak)/1e6)
	}
	ratio := func(a, b string) float64 {
		each := make([]float64, o.rounds)
		for i := range each { // the turns of one round had the same other load
			each[i] = passes[a][i].micros / passes[b][i].micros
		}
		return median(each)
	}
	found.add("ratio sidecar/nginx cpu", 2, ratio("sidecar", "nginx"))
	found.add("ratio sidecar/haproxy cpu", 2, ratio("sidecar", "haproxy"))
	found.add("ratio httputil/sidecar cpu", 2, ratio("httputil", "sidecar"))
	half := int(medianOf(passes["nginx"], func(p pass) float64 { return p.perSecond })) / 2
	if err := measureHalf(ctx, l, o, proxies, header, half, found); err != nil {
		return err
	}
	return measureAdded(ctx, l, o, upstream, proxies, header, found)
}

// startProxies starts all proxies, the sidecar first.
func (l *lab) startProxies(ctx context.Context, auth, upstream string) ([]*server, error) {
	side, err := l.startSidecar(ctx, "sidecar", auth, upstream, true)
	if err != nil {
		return nil, err
	}
	all := []*server{side.server}
	for _, start := range []func(context.Context, string) (*server, error){l.startNginxProxy, l.startHAProxy, l.startHTTPUtil} {
		p, err := start(ctx, upstream)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// pageHeader returns the headers of a browser for a request by a page of the same origin.
func pageHeader(s *session) []string {
	return []string{
		"User-Agent: " + userAgent, "Accept: application/json, text/plain, */*", "Accept-Language: en",
		"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty",
		"Cookie: theme=dark; " + cookieName + "=" + s.refresh,
	}
}

// errSettling means that a sidecar keeps setting new cookies.
var errSettling = errors.New("bench: the sidecar does not settle on a cookie")

// settle sends requests until the sidecar sets no cookie any more: the session is then in its cache
// under the current cookie.
func settle(ctx context.Context, sidecar string, s *session) error {
	for range 5 {
		said, err := once(ctx, sidecar, request(http.MethodGet, "/", nil, pageHeader(s)...), http.StatusOK)
		if err != nil {
			return err
		}
		if !take(said, s) {
			return nil
		}
	}
	return errSettling
}

// take stores the cookie of a response and reports whether there was one.
func take(said reply, s *session) bool {
	for _, c := range (&http.Response{Header: said.header}).Cookies() {
		if c.Name == cookieName && c.Value != "" && c.Value != s.refresh {
			s.refresh = c.Value
			return true
		}
	}
	return false
}

// served runs wrk with requests that must all succeed.
func served(ctx context.Context, p *server, header []string, span time.Duration) (pass, error) {
	done, err := wrk(ctx, p, header, span)
	if err == nil && done.refused > 0 {
		err = fmt.Errorf("%s: %d requests were refused", p.Name, done.refused)
	}
	return done, err
}

// wrk loads a proxy for a time.
func wrk(ctx context.Context, p *server, header []string, span time.Duration) (pass, error) {
	args := make([]string, 0, 5+2*len(header))
	args = append(args, "--latency", "-t2", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", int(span.Seconds())))
	for _, line := range header {
		args = append(args, "-H", line)
	}
	args = append(args, "http://"+p.address+"/")
	before, err := cpu(p.Process)
	if err != nil {
		return pass{}, err
	}
	out, err := exec.CommandContext(ctx, "wrk", args...).CombinedOutput() //nolint:gosec // our own arguments
	if err != nil {
		return pass{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	after, err := cpu(p.Process)
	if err != nil {
		return pass{}, err
	}
	said, err := readWrk(string(out))
	if err != nil {
		return pass{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	said.micros = float64(after-before) / float64(time.Microsecond) / float64(said.requests)
	return said, nil
}

// readWrk parses the output of wrk, which lacks the CPU time.
func readWrk(out string) (pass, error) {
	var p pass
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		var err error
		switch {
		case strings.Contains(line, "Socket errors"):
			return p, fmt.Errorf("not every request was answered:\n%s", out)
		case len(f) == 5 && f[0] == "Non-2xx":
			_, err = fmt.Sscan(f[4], &p.refused)
		case len(f) == 2 && f[0] == "50%":
			p.p50, err = wrkMillis(f[1])
		case len(f) == 2 && f[0] == "99%":
			p.p99, err = wrkMillis(f[1])
		case len(f) == 2 && f[0] == "Requests/sec:":
			_, err = fmt.Sscan(f[1], &p.perSecond)
		case len(f) > 3 && f[1] == "requests" && f[2] == "in":
			_, err = fmt.Sscan(f[0], &p.requests)
		}
		if err != nil {
			return p, fmt.Errorf("output of wrk: %q: %w", line, err)
		}
	}
	if p.requests == 0 || p.perSecond == 0 || p.p99 == 0 {
		return p, fmt.Errorf("incomplete output of wrk:\n%s", out)
	}
	return p, nil
}

func wrkMillis(text string) (float64, error) {
	d, err := time.ParseDuration(text) // such as 1.23ms, 456.00us and 1.20s, as in Go
	return millis(d), err
}
