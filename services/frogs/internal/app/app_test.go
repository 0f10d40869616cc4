package app_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/frogs/internal/app"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/tlstest"
)

// command is the shape of `frogs serve` without its Run.
type command struct {
	Serve struct{ checked } `cmd:""`
}

type checked struct{ app.Config }

func (checked) Run() error { return nil }

func TestAllFaultsOfTheSettingsAtOnce(t *testing.T) {
	var out, faults bytes.Buffer
	code := config.Run(t.Context(), new(command), config.Program{
		Name: "frogs", Args: []string{"serve"}, Stdout: &out, Stderr: &faults,
		Environ: []string{"LILYPAD_AUTH_URL=auth", "LILYPAD_LOG_LEVEL=loud", "LILYPAD_FROGGS=1", "FROGS_PORT=tcp://10.0.0.1:80"},
	})
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"LILYPAD_AUTH_URL", "LILYPAD_LOG_LEVEL", "LILYPAD_FROGGS", "LILYPAD_DATABASE_URL"} {
		if !strings.Contains(faults.String(), want) {
			t.Errorf("%s is not reported:\n%s", want, &faults)
		}
	}
}

func serve(t *testing.T, c app.Config) {
	t.Helper()
	c.Common = config.Common{OpsListen: "127.0.0.1:0", LogLevel: "error", LogFormat: "json", Drain: time.Second}
	c.Listen, c.AuthURL, c.Audience = "127.0.0.1:0", "http://127.0.0.1:9", "frogs"
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a, err := app.New(ctx, c, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for path, want := range map[string]int{"http://" + a.OpsAddr() + "/readyz": 200, "http://" + a.OpsAddr() + "/livez": 200, "http://" + a.Addr() + "/api/frogs": 401} {
		if got := get(t, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func get(t *testing.T, url string) int {
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
	return w.StatusCode
}

func TestServesOnTheEmbeddedStore(t *testing.T) { serve(t, app.Config{Store: "embedded"}) }

func TestServesOnPostgresAfterMigratingIt(t *testing.T) {
	serve(t, app.Config{Store: "external", DatabaseURL: config.NewSecret(pgtest.URL(t, nil))})
}

func TestTheDatabaseIsVerifiedByItsAuthority(t *testing.T) {
	ca := tlstest.NewCA(t)
	server := pgtest.StartServerTLS(t, ca)
	c := app.Config{Store: "external", DatabaseURL: config.NewSecret("postgres://postgres@" + server.Addr() + "/postgres"), Common: config.Common{LogLevel: "error", LogFormat: "json"}}
	for file, want := range map[string]string{
		"":                    "LILYPAD_DATABASE_CA_FILE names the file",
		tlstest.NewCA(t).File: "LILYPAD_DATABASE_CA_FILE names the file",
		"/nowhere":            "LILYPAD_DATABASE_CA_FILE: open /nowhere",
	} {
		c.DatabaseCAFile = file
		if _, err := app.New(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("authority %q: error %v, want %s", file, err, want)
		}
	}
	c.DatabaseCAFile = ca.File
	serve(t, c)
}

func TestAnUnreachableDatabaseIsAFaultOfTheStart(t *testing.T) {
	c := app.Config{Store: "external", DatabaseURL: config.NewSecret("postgres://frogs:planted-secret@127.0.0.1:9/frogs"), Common: config.Common{LogLevel: "error", LogFormat: "json"}}
	_, err := app.New(t.Context(), c, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "LILYPAD_DATABASE_URL") {
		t.Fatalf("err = %v", err)
	}
	if strings.Contains(err.Error(), "planted-secret") {
		t.Errorf("R12: the password shows: %v", err)
	}
}
