package app_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/frontend/internal/app"
	"lilypad.example/services/pkg/config"
)

// command is `frontend serve` with a Run that does nothing.
type command struct {
	Serve struct{ checked } `cmd:""`
}

type checked struct{ app.Config }

func (checked) Run() error { return nil }

func start(t *testing.T, environ ...string) (int, string) {
	t.Helper()
	var out, faults bytes.Buffer
	code := config.Run(t.Context(), new(command), config.Program{
		Name: "frontend", Args: []string{"serve"}, Environ: environ, Stdout: &out, Stderr: &faults,
	})
	return code, faults.String()
}

func TestAllFaultsOfTheSettingsAtOnce(t *testing.T) {
	code, faults := start(t, "LILYPAD_FROGS_URL=frogs", "LILYPAD_LOG_LEVEL=loud", "LILYPAD_FROG=1", "LILYPAD_LISTEN=8081")
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{"LILYPAD_AUTH_URL", "LILYPAD_FROGS_URL", "LILYPAD_LOG_LEVEL", "LILYPAD_FROG ", "LILYPAD_LISTEN"} {
		if !strings.Contains(faults, want) {
			t.Errorf("output does not mention %s:\n%s", want, faults)
		}
	}
}

func TestThePagesListenOnLoopbackOnly(t *testing.T) {
	for address, want := range map[string]int{
		"127.0.0.1:8081": 0, "localhost:8081": 0, "[::1]:0": 0,
		":8081": 1, "0.0.0.0:8081": 1, "10.1.2.3:8081": 1, "[::]:8081": 1, "localhost.evil.test:8081": 1,
	} {
		if code, faults := start(t, "LILYPAD_AUTH_URL=http://auth", "LILYPAD_FROGS_URL=http://frogs", "LILYPAD_LISTEN="+address); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", address, code, want, faults)
		}
	}
}

func TestStartsAndServesWhileEverythingElseIsAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, err := app.New(ctx, app.Config{
		Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", LogLevel: "error", LogFormat: "json", Drain: time.Second,
		AuthURL: "http://127.0.0.1:9", FrogsURL: "http://127.0.0.1:9", Audience: "frontend",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	for url, want := range map[string]int{
		"http://" + a.OpsAddr() + "/livez": 200, "http://" + a.OpsAddr() + "/readyz": 200, "http://" + a.OpsAddr() + "/metrics": 200,
		"http://" + a.Addr() + "/": 200, "http://" + a.Addr() + "/login": 200, "http://" + a.Addr() + "/metrics": 404,
	} {
		if got := get(t, url); got != want {
			t.Errorf("%s: status %d, want %d", url, got, want)
		}
	}
	if _, metrics := read(t, "http://"+a.OpsAddr()+"/metrics"); !strings.Contains(metrics, `dependency_up{dependency="auth"}`) {
		t.Error("no metric dependency_up for auth")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	status, _ := read(t, url)
	return status
}

func read(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	w, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, string(body)
}
