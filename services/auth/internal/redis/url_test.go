package redis

import (
	"slices"
	"strings"
	"testing"
)

func TestURLsOfSeveralServers(t *testing.T) {
	for text, want := range map[string]struct {
		addrs                             []string
		user, password, name, toSentinels string
		db                                int
		cluster, encrypted                bool
	}{
		"redis+sentinel://a:1,b:2,c:3/pond":                     {addrs: []string{"a:1", "b:2", "c:3"}, name: "pond"},
		"redis+sentinel://:tad%40%2Fpole@a:1/pond/7":            {addrs: []string{"a:1"}, password: "tad@/pole", name: "pond", db: 7},
		"rediss+sentinel://u:p@a:1/pond?sentinel_password=q%26": {addrs: []string{"a:1"}, user: "u", password: "p", name: "pond", toSentinels: "q&", encrypted: true},
		"redis+cluster://a:1,[::1]:2":                           {addrs: []string{"a:1", "[::1]:2"}, cluster: true},
		"rediss+cluster://u:p@a:1":                              {addrs: []string{"a:1"}, user: "u", password: "p", cluster: true, encrypted: true},
	} {
		got, err := parseURL(text)
		if err != nil || got.several == nil {
			t.Errorf("%s: error %v, want options for several servers", text, err)
			continue
		}
		o := got.several
		if !slices.Equal(o.Addrs, want.addrs) || o.Username != want.user || o.Password != want.password || o.MasterName != want.name ||
			o.SentinelPassword != want.toSentinels || o.DB != want.db || o.IsClusterMode != want.cluster || (o.TLSConfig != nil) != want.encrypted {
			t.Errorf("%s: %+v, want %+v", text, o, want)
		}
		if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			t.Errorf("%s: options allow reads from replicas, want primaries only", text)
		}
	}
	for _, text := range []string{"redis://a:1/3", "rediss://:p@a:1", "unix:///tmp/s"} {
		if got, err := parseURL(text); err != nil || got.alone == nil {
			t.Errorf("%s: error %v, want options for a single server", text, err)
		}
	}
}

func TestConnectNamesTheFaultAndNotThePassword(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "want redis://",
		"tadpole":                              "redis+cluster://",
		"http://tadpole:80":                    "redis+sentinel://",
		"redis+tadpole://a:1":                  "redis+sentinel://",
		"redis://:tad/pole@a:tadpole":          "want redis://",
		"redis://:tadpole@127.0.0.1:1":         "not reachable",
		"redis+cluster://:tadpole@127.0.0.1:1": "not reachable",
		"redis+sentinel://:tadpole@127.0.0.1:1/m":                "not reachable",
		"redis+sentinel://:tadpole@a:1":                          "primary's name",
		"redis+sentinel://:tadpole@a:1/":                         "primary's name",
		"redis+sentinel://:tadpole@a:1/m/x":                      "database",
		"redis+sentinel://:tadpole@a:1/m/1/2":                    "database",
		"redis+sentinel://:tadpole@a:1/m?tadpole=1":              "parameter",
		"redis+sentinel://:tadpole@a:1/m?a=%zztadpole":           "parameter",
		"redis+sentinel://tadpole/m":                             "host:port",
		"redis+cluster://:tadpole@a:1,b":                         "host:port",
		"redis+cluster://:tadpole@":                              "host:port",
		"redis+cluster://:tadpole@a:1,":                          "host:port",
		"redis+cluster://:tadpole@a:0":                           "host:port",
		"redis+cluster://:tadpole@a:99999":                       "host:port",
		"redis+cluster://:tadpole%zz@a:1":                        "percent-encoded",
		"redis+cluster://:tad@tadpole@a:1":                       "percent-encoded",
		"redis+cluster://:tadpole/x@a:1":                         "host:port",
		"redis+cluster://:tadpole@a:1/0":                         "no databases",
		"redis+cluster://:tadpole@a:1?sentinel_password=tadpole": "parameter",
		"rediss://:tadpole@a:1?skip_verify=true":                 "skip_verify",
		"rediss://:tadpole@a:1?skip_verify=1&db=1":               "skip_verify",
		"rediss+cluster://:tadpole@a:1?skip_verify=true":         "parameter",
		"rediss+sentinel://:tadpole@a:1/m?skip_verify=true":      "parameter",
	} {
		_, err := Connect(t.Context(), text, nil)
		switch {
		case err == nil:
			t.Errorf("%s is accepted, want an error", text)
		case strings.Contains(err.Error(), "tadpole"):
			t.Errorf("%s: error shows the password: %v", text, err)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		}
	}
}
