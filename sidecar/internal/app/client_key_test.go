package app_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/sidecar/internal/app"
)

func TestTheClientKeyIsReplacedWithoutARestart(t *testing.T) {
	var path string
	w := newWorld(t, func(c *app.Config) { path = c.ClientKeyFile })
	assertions := make(chan string, 1)
	w.auth.set(func(a *auth) {
		a.instead = func(rw http.ResponseWriter, r *http.Request) {
			select {
			case assertions <- r.FormValue("client_assertion"):
			default:
			}
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	// signed reports whether the next assertion is signed with the private key in text.
	signed := func(text []byte) bool {
		t.Helper()
		block, _ := pem.Decode(text)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		w.get("/account", "Cookie", "__Host-Http-lilypad=v1.k1.family0000000000000001.1."+strings.Repeat("m", 43))
		_, err = jwt.Parse(<-assertions, func(*jwt.Token) (any, error) { return key.(*ecdsa.PrivateKey).Public(), nil })
		return err == nil
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !signed(old) {
		t.Error("the assertion is not signed with the key in the file")
	}
	next := privateKey(t)
	write(t, path, next)
	eventually(t, "assertion signed with the new key", func() bool { return signed(next) })
	write(t, path, []byte("nonsense"))
	eventually(t, "log line about the invalid file", func() bool { return strings.Contains(w.logs.String(), "client key not reloaded") })
	if !signed(next) {
		t.Error("an invalid file replaced the key")
	}
}
