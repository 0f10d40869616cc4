package forwardauth

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"lilypad.example/hack/internal/debian"
	"lilypad.example/services/pkg/process"
)

// A proxy is between the browser and the application.
type proxy struct {
	address string
	rotates bool   // it hands rotated cookies to the browser
	absent  string // how the value of a header field begins that is absent in the answer
}

func TestBehindNginx(t *testing.T) {
	l := newLab(t)
	address, user := l.free(), ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder is root's
	}
	config := l.file("nginx.conf", fmt.Sprintf(`
%s
daemon off;
pid %[2]s/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server {
    listen %[3]s;
%[4]s
  }
}`, user, l.dir, address, l.recipe("nginx")))
	l.start("nginx", process.Command(t.Context(), debian.Find("nginx"), "-p", l.dir, "-c", config, "-e", "stderr"), "http://"+address+"/public")
	l.serves(proxy{address: address, rotates: true})
}

func TestBehindCaddy(t *testing.T) {
	l := newLab(t)
	address := l.free()
	config := l.file("Caddyfile", fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n}\nhttp://%s {\n%s\n}\n", address, l.recipe("Caddy")))
	cmd := process.Command(t.Context(), debian.Find("caddy"), "run", "--config", config, "--adapter", "caddyfile")
	cmd.Env = append(process.Environment(nil), "HOME="+l.dir, "XDG_DATA_HOME="+l.dir, "XDG_CONFIG_HOME="+l.dir)
	l.start("caddy", cmd, "http://"+address+"/public")
	// Debian's release sets a field to the name of the variable that is absent.
	l.serves(proxy{address: address, absent: "{http.reverse_proxy.header."})
}

// serves tests what every recipe must do.
func (l *lab) serves(p proxy) {
	t := l.t
	value := l.login(p.address)
	c := cookieName + "=" + value
	own, foreign := "http://"+p.address, "https://evil.test"
	for name, tc := range map[string]struct {
		method, target string
		pairs          []string
		status         int
		location       string
		token          bool
		cookies        string // what the application gets
	}{
		"stranger":                {"GET", "/?a=b", []string{"Authorization", "Bearer forged", "Cookie", "theme=dark"}, 200, "", false, "theme=dark"},
		"stranger, public":        {"GET", "/public", []string{"Authorization", "Bearer forged"}, 200, "", false, ""},
		"stranger's page":         {"GET", "/account?x=y&z", []string{"Sec-Fetch-Mode", "navigate"}, 303, "/login?next=%2Faccount%3Fx%3Dy%26z", false, ""},
		"stranger's fetch":        {"GET", "/account", nil, 401, "", false, ""},
		"stranger's form":         {"POST", "/account", []string{"Sec-Fetch-Mode", "navigate", "Origin", own}, 401, "", false, ""},
		"signed in":               {"GET", "/account?x=y", []string{"Cookie", c + "; theme=dark"}, 200, "", true, "theme=dark"},
		"signed in, forged token": {"GET", "/account", []string{"Cookie", c, "Authorization", "Bearer forged"}, 200, "", true, ""},
		"signed in, public":       {"GET", "/public", []string{"Cookie", c, "Authorization", "Bearer forged"}, 200, "", false, ""},
		"without the role":        {"GET", "/admin", []string{"Cookie", c}, 403, "", false, ""},
		"a write of our own":      {"POST", "/account", []string{"Cookie", c, "Origin", own}, 200, "", true, ""},
		"a write from elsewhere":  {"POST", "/account", []string{"Cookie", c, "Origin", foreign}, 403, "", false, ""},
		"a foreign WebSocket":     {"GET", "/account", []string{"Cookie", c, "Origin", foreign, "Sec-Websocket-Key", "x"}, 403, "", false, ""},
		"another path named":      {"GET", "/account", []string{"X-Forwarded-Uri", "/public", "X-Forwarded-Method", "GET"}, 401, "", false, ""},
		"another spelling":        {"GET", "/ACCOUNT;x", nil, 401, "", false, ""},
		"the question itself":     {"GET", "/auth/verify", []string{"Cookie", c, "X-Forwarded-Uri", "/account", "X-Forwarded-Method", "GET"}, 404, "", false, ""},
		"the sidecar's own":       {"GET", "/auth/session", []string{"Cookie", c}, 200, "", false, ""},
	} {
		r := l.send(p.address, tc.method, tc.target, "", tc.pairs...)
		location := strings.TrimPrefix(r.header.Get("Location"), own)
		if r.status != tc.status || location != tc.location || r.header.Get("Authorization") != "" {
			t.Errorf("%s: status %d to %q, want %d to %q; header %v", name, r.status, location, tc.status, tc.location, r.header)
		}
		if r.status != 200 || strings.HasPrefix(tc.target, "/auth/") {
			continue
		}
		var s seen
		if err := json.Unmarshal([]byte(r.body), &s); err != nil {
			t.Errorf("%s: %s is no echo: %v", name, r.body, err)
		}
		for name, values := range s.Header {
			if p.absent != "" && len(values) == 1 && strings.HasPrefix(values[0], p.absent) {
				delete(s.Header, name)
			}
		}
		got := strings.Join(s.Header["Authorization"], ", ")
		if strings.HasPrefix(got, "Bearer access-") != tc.token || got != "" && !tc.token {
			t.Errorf("%s: the application got Authorization %q, want an access token: %t", name, got, tc.token)
		}
		if got := strings.Join(s.Header["Cookie"], "; "); got != tc.cookies {
			t.Errorf("%s: the application got Cookie %q, want %q", name, got, tc.cookies)
		}
		if s.Target != tc.target {
			t.Errorf("%s: the application got target %q, want %q", name, s.Target, tc.target)
		}
	}
	if p.rotates {
		l.auth.setLife(1)
		l.rotates(p.address, l.login(p.address))
	}
}
