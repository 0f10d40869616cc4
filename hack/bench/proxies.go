package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"lilypad.example/services/pkg/process"
)

// connections is the number of open connections of the load generator.
const connections = 32

// serveProxy is a reverse proxy of the standard library with a transport that keeps enough
// connections.
func serveProxy(ctx context.Context, at, upstream string) error {
	to, err := url.Parse("http://" + upstream)
	if err != nil {
		return err
	}
	return serve(ctx, at, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Header.Del("Cookie")
			r.Out.Header.Set("Authorization", "Bearer "+bearer)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 2 * connections, IdleConnTimeout: time.Minute},
	})
}

// bearer has the length of an access token.
var bearer = strings.Repeat("x", 620) //nolint:gochecknoglobals // a constant in all but the keyword

// startUpstream starts the app behind all proxies: nginx, with 1 kB from memory.
func (l *lab) startUpstream(ctx context.Context) (string, error) {
	p, err := l.startNginx(ctx, "upstream", `
    location / { default_type text/plain; return 200 "`+strings.Repeat("0123456789abcdef", 64)+`"; }`, "")
	if err != nil {
		return "", err
	}
	return p.address, nil
}

// startNginxProxy starts nginx as a proxy that changes no headers and has no access log.
func (l *lab) startNginxProxy(ctx context.Context, upstream string) (*server, error) {
	return l.startNginx(ctx, "nginx", `
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }`,
		"upstream app { server "+upstream+"; keepalive 64; }")
}

func (l *lab) startNginx(ctx context.Context, name, location, more string) (*server, error) {
	dir, err := l.home.Mkdir(name)
	if err != nil {
		return nil, err
	}
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		_, _ = fmt.Fprintf(&temp, "  %s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("daemon off; pid %s/pid; worker_processes %d; error_log stderr;\nevents { worker_connections 1024; }\n"+
		"http {\n  access_log off; keepalive_requests 100000000;\n%s  %s\n  server { listen %s; %s\n  }\n}\n",
		dir, runtime.NumCPU(), temp.String(), more, at, location)
	if err := l.home.WriteFile(conf, text); err != nil {
		return nil, err
	}
	return l.startForeign(ctx, name, at, "nginx", []string{"-p", dir, "-e", "stderr", "-c", conf})
}

// startHAProxy starts HAProxy, which changes the same request headers as the sidecar.
func (l *lab) startHAProxy(ctx context.Context, upstream string) (*server, error) {
	dir, err := l.home.Mkdir("haproxy")
	if err != nil {
		return nil, err
	}
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
  nbthread %d
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen app
  bind %s
  http-request del-header cookie
  http-request set-header authorization "Bearer %s"
  server app %s
`, runtime.NumCPU(), at, bearer, upstream)
	if err := l.home.WriteFile(conf, text); err != nil {
		return nil, err
	}
	return l.startForeign(ctx, "haproxy", at, "haproxy", []string{"-db", "-f", conf})
}

func (l *lab) startHTTPUtil(ctx context.Context, upstream string) (*server, error) {
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return l.start(ctx, program{name: "httputil", address: at, path: l.self, args: []string{"httputil", at, upstream}},
		answers("http://"+at+"/"))
}

// version returns the first line of a program's version output.
func version(ctx context.Context, path string, args ...string) string {
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil && line == "" {
		return err.Error()
	}
	return line
}
