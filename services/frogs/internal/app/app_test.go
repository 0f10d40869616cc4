package app_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/frogs/internal/app"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/tlstest"
)

// command is `frogs serve` with a Run that does nothing.
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
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{"LILYPAD_AUTH_URL", "LILYPAD_LOG_LEVEL", "LILYPAD_FROGGS", "LILYPAD_DATABASE_URL"} {
		if !strings.Contains(faults.String(), want) {
			t.Errorf("output does not mention %s:\n%s", want, &faults)
		}
	}
}

// launch runs the service until the test ends. It may not be ready yet.
func launch(t *testing.T, c app.Config, logTo io.Writer) *app.App {
	t.Helper()
	c.Common = config.Common{OpsListen: "127.0.0.1:0", LogLevel: "info", LogFormat: "json", Drain: time.Second}
	c.Listen, c.AuthURL, c.Audience = "127.0.0.1:0", "http://127.0.0.1:9", "frogs"
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a, err := app.New(ctx, c, logTo)
	if err != nil {
		cancel()
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
	return a
}

func serve(t *testing.T, c app.Config) {
	t.Helper()
	a := launch(t, c, io.Discard)
	await(t, "ready", func() bool { return get(t, "http://"+a.OpsAddr()+"/readyz") == http.StatusOK })
	for path, want := range map[string]int{"http://" + a.OpsAddr() + "/livez": 200, "http://" + a.Addr() + "/api/frogs": 401} {
		if got := get(t, path); got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
}

// await polls until done returns true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("timed out waiting for: %s", what)
		case <-again.C:
		}
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
		a, err := app.New(t.Context(), c, io.Discard)
		if err == nil {
			err = a.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CA file %q: error %v, want %s", file, err, want)
		}
	}
	c.DatabaseCAFile = ca.File
	serve(t, c)
}

// lines is a log that may be written to and read concurrently.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestADatabaseThatIsNotThereYetIsWaitedForAndMayGoLater(t *testing.T) {
	postgres := pgtest.StartServer(t)
	postgres.Stop()
	log := &lines{}
	url := strings.Replace(postgres.URL(), "postgres@", "postgres:planted-secret@", 1)
	a := launch(t, app.Config{Store: "external", DatabaseURL: config.NewSecret(url)}, log)
	api, ops := "http://"+a.Addr()+"/api/frogs", "http://"+a.OpsAddr()
	await(t, "a log line about Postgres", func() bool { return strings.Contains(log.String(), "dependency unreachable") })
	for path, want := range map[string]int{ops + "/livez": 200, ops + "/readyz": 503, api: 503} {
		if got := get(t, path); got != want {
			t.Errorf("before Postgres starts: %s: status %d, want %d", path, got, want)
		}
	}
	postgres.Start(t)
	await(t, "ready", func() bool { return get(t, ops+"/readyz") == http.StatusOK })
	postgres.Stop()
	await(t, "the metric dependency_up 0", func() bool {
		_, metrics := read(t, ops+"/metrics")
		return strings.Contains(metrics, `dependency_up{dependency="postgres"} 0`)
	})
	for path, want := range map[string]int{ops + "/livez": 200, ops + "/readyz": 200, api: 401} {
		if got := get(t, path); got != want {
			t.Errorf("after Postgres stopped: %s: status %d, want %d", path, got, want)
		}
	}
	if strings.Contains(log.String(), "planted-secret") {
		t.Errorf("the log contains the password: %s", log)
	}
}

func TestADatabaseThatRefusesTheServiceIsAFaultOfTheStart(t *testing.T) {
	u, err := url.Parse(pgtest.URL(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody", "planted-secret")
	c := app.Config{Store: "external", DatabaseURL: config.NewSecret(u.String()), Common: config.Common{LogLevel: "error", LogFormat: "json", OpsListen: "127.0.0.1:0"}, Listen: "127.0.0.1:0"}
	a, err := app.New(t.Context(), c, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "LILYPAD_DATABASE_URL") || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("Run: %v, want an error that names LILYPAD_DATABASE_URL and user nobody", err)
	}
	if err != nil && strings.Contains(err.Error(), "planted-secret") {
		t.Errorf("the error contains the password: %v", err)
	}
}
