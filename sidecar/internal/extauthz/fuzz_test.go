package extauthz

import (
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/extauthz/extauthztest"
)

// Whatever is accepted has one method, one path and one host, and fields that can be sent.
func FuzzCheckRequest(f *testing.F) {
	m, p, h := extauthztest.Method("GET"), extauthztest.Target("/a?b"), extauthztest.Host("a.test")
	f.Add(extauthztest.Request(m, p, h))
	f.Add(extauthztest.Request(m, p, h, extauthztest.Header(":path", "/a?b"), extauthztest.Header("cookie", "a=b")))
	f.Add(extauthztest.Request(m, p, h, extauthztest.Raw(":path", "/a?b", "cookie", "a=\xff")))
	f.Fuzz(func(t *testing.T, message []byte) {
		c, err := parse(message, Limits{Fields: 10, Bytes: 1000})
		if err != nil {
			return
		}
		if c.Method == "" || c.Target == "" || c.Host == "" || len(c.Header) > 10 {
			t.Errorf("accepted %+v", c)
		}
		for _, field := range c.Header {
			if !field.Valid() || strings.HasPrefix(field.Name, ":") {
				t.Errorf("accepted field %q", field)
			}
		}
	})
}
