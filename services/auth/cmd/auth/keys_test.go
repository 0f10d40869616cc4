package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/pkg/config"
)

// secretWith answers for a Secret with one signing key, and takes every write.
func secretWith(t *testing.T, key rollover.Key) (_ app.KeysSecret, held *map[string][]byte) {
	t.Helper()
	text, err := rollover.Encode([]rollover.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	data := map[string][]byte{rollover.SigningEntry: text}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			_ = json.NewDecoder(r.Body).Decode(&struct{ Data *map[string][]byte }{&data})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1", "data": data})
	}))
	t.Cleanup(s.Close)
	return app.KeysSecret{KeysSecret: "lilypad/keyring", Cluster: &rest.Config{Host: s.URL}}, &data
}

func TestT53_KeysAreShownRotatedAndRevokedByHand(t *testing.T) {
	key, err := rollover.Generate()
	if err != nil {
		t.Fatal(err)
	}
	secret, held := secretWith(t, key)
	var out, errs bytes.Buffer
	p := config.Program{Stdout: &out, Stderr: &errs}
	show := func() string {
		t.Helper()
		out.Reset()
		if err := (&keysShow{secret}).Run(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if text := show(); !strings.Contains(text, key.ID) || !strings.Contains(text, "signing") || strings.Contains(text, "PRIVATE") {
		t.Error(text)
	}
	if err := (&keysRotate{secret}).Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if text := show(); !strings.Contains(text, "next") {
		t.Error(text)
	}
	if err := (&keysRevoke{KeysSecret: secret, KID: key.ID}).Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if text := show(); strings.Contains(text, key.ID) || strings.Count(text, "signing") != 1 {
		t.Error(text)
	}
	if !strings.Contains(errs.String(), `"key.revoked"`) || !strings.Contains(errs.String(), key.ID) {
		t.Errorf("the audit log says %s", &errs)
	}
	if keys, err := rollover.Parse((*held)[rollover.SigningEntry]); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
