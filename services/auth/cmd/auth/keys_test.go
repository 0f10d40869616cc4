package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/pkg/config"
)

// secretWith returns a Secret with one signing key on an API server that accepts every write. held
// points to its current data.
func secretWith(t *testing.T, key rollover.Key) (_ keysSecret, held *map[string][]byte) {
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
	return keysSecret{app.KeysSecret{KeysSecret: "lilypad/keyring", Cluster: &rest.Config{Host: s.URL}}}, &data
}

func TestKeysAreShownRotatedAndRevokedByHand(t *testing.T) {
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
		t.Errorf("keys show: want key %s, signing, and no private key in:\n%s", key.ID, text)
	}
	if err := (&keysRotate{secret}).Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if text := show(); !strings.Contains(text, "next") {
		t.Errorf("keys show after rotate: want a next key in:\n%s", text)
	}
	if err := (&keysRevoke{keysSecret: secret, KID: key.ID}).Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if text := show(); strings.Contains(text, key.ID) || strings.Count(text, "signing") != 1 {
		t.Errorf("keys show after revoke: want one signing key, not %s, in:\n%s", key.ID, text)
	}
	if !strings.Contains(errs.String(), `"key.revoked"`) || !strings.Contains(errs.String(), key.ID) {
		t.Errorf("audit log is %s, want key.revoked of %s", &errs, key.ID)
	}
	if keys, err := rollover.Parse((*held)[rollover.SigningEntry]); err != nil || len(keys) != 1 {
		t.Errorf("the Secret has %d keys, error %v; want 1 key", len(keys), err)
	}
}

// run runs auth with args.
func run(t *testing.T, environ []string, args ...string) (code int, out, faults string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = config.Run(t.Context(), new(cli), config.Program{Name: "auth", Args: args, Environ: environ, Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestGeneratingKeysKeepsThoseThatExist(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	generate := func(signing, ring string) {
		t.Helper()
		want := filepath.Join(dir, "signing.pem") + signing + "\n" + filepath.Join(dir, "ring.keys") + ring + "\n"
		if code, out, faults := run(t, nil, "keys", "generate", "--dir", dir); code != 0 || out != want {
			t.Errorf("exit code %d, output %q; want 0, %q; errors: %s", code, out, want, faults)
		}
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return string(text)
	}
	generate("", "")
	signing, ring := read("signing.pem"), read("ring.keys")
	generate(" exists, kept", " exists, kept")
	must(t, os.Remove(filepath.Join(dir, "ring.keys")))
	generate(" exists, kept", "")
	if read("signing.pem") != signing || read("ring.keys") == ring {
		t.Error("want the existing signing key unchanged and the missing ring key replaced by a new one")
	}
}

func TestTheDirectoryOfKeysIsAFlagAlone(t *testing.T) {
	if _, out, _ := run(t, nil, "keys", "generate", "--help"); !strings.Contains(out, "--dir=DIR") || strings.Contains(out, "LILYPAD_DIR") {
		t.Errorf("want --dir=DIR and no LILYPAD_DIR in:\n%s", out)
	}
}

func TestCommandsAboutKeysNeedTheSecret(t *testing.T) {
	for _, command := range []string{"show", "rotate", "revoke x"} {
		code, _, faults := run(t, nil, strings.Fields("keys "+command)...)
		if code != 1 || faults != "auth: LILYPAD_KEYS_SECRET is required\n" {
			t.Errorf("keys %s: exit code %d, want 1 and LILYPAD_KEYS_SECRET reported as required: %s", command, code, faults)
		}
	}
	if _, _, faults := run(t, []string{"LILYPAD_KEYS_SECRET=keyring"}, "keys", "show"); !strings.Contains(faults, `"keyring" is not of the form namespace/name`) {
		t.Errorf("want an error about the form of LILYPAD_KEYS_SECRET, got: %s", faults)
	}
}

func TestTheCheckOfSettingsReportsWhatServeWouldFailFor(t *testing.T) {
	environ := []string{"LILYPAD_REDIS_URL=localhost:6379", "LILYPAD_DATABASE_URL=postgres://host:port/db", "LILYPAD_ISSUER=nowhere"}
	for _, args := range [][]string{{"config", "check"}, {"serve"}} {
		code, _, faults := run(t, environ, args...)
		for _, want := range []string{"LILYPAD_REDIS_URL: redis URL: want redis://", "LILYPAD_DATABASE_URL: ", "LILYPAD_ISSUER", "LILYPAD_SIGNING_KEYS_FILE"} {
			if code != 1 || !strings.Contains(faults, want) {
				t.Errorf("%v: exit code %d, want 1 and %q in:\n%s", args, code, want, faults)
			}
		}
	}
}
