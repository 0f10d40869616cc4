package config_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/pkg/config"
)

type serve struct {
	config.Common

	TTL      time.Duration `name:"ttl" default:"5m" help:"Life."`
	Password config.Secret `help:"Secret."`
	ran      *serve
}

func (s *serve) Check() error { return config.CheckPositive("LILYPAD_TTL", s.TTL) }

func (s *serve) Run(context.Context, config.Program) error { s.ran = s; return nil }

type cli struct {
	Serve serve `cmd:"" help:"Serve."`
}

func run(t *testing.T, args []string, environ ...string) (c cli, code int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = config.Run(t.Context(), &c, config.Program{
		Name: "demo", Description: "A demo.", Args: args, Environ: environ, Stdout: &out, Stderr: &errs,
	})
	return c, code, errs.String() + out.String()
}

func TestFlagBeatsVariableBeatsDefault(t *testing.T) {
	for want, environ := range map[time.Duration][]string{
		5 * time.Minute: {"OTHER_TTL=1s"},
		time.Second:     {"LILYPAD_TTL=1s"},
	} {
		if c, code, out := run(t, []string{"serve"}, environ...); code != 0 || c.Serve.TTL != want {
			t.Errorf("%v: TTL %s, exit %d, want %s and 0: %s", environ, c.Serve.TTL, code, want, out)
		}
	}
	if c, _, _ := run(t, []string{"serve", "--ttl=2s"}, "LILYPAD_TTL=1s"); c.Serve.TTL != 2*time.Second {
		t.Errorf("TTL %s, want the 2s of the flag", c.Serve.TTL)
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, code, out := run(t, []string{"serve"},
		"LILYPAD_TTL=-1s", "LILYPAD_LOG_LEVEL=loud", "LILYPAD_DRAIN=soon", "LILYPAD_COLOUR=green", "LILYPAD_PASSWORD_FILE=/nowhere")
	if code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
	for _, want := range []string{"LILYPAD_TTL", "LILYPAD_LOG_LEVEL", "LILYPAD_DRAIN", "LILYPAD_COLOUR", "LILYPAD_PASSWORD_FILE", "5 errors"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s in:\n%s", want, out)
		}
	}
}

type faulty struct{}

func (faulty) Run() error {
	return fmt.Errorf("routes.yaml: %w", errors.Join(errors.New("one"), errors.Join(errors.New("two"), fmt.Errorf("%w: %w", errors.New("three"), io.EOF))))
}

func TestEachOfJoinedFaultsIsALineThatSaysWhere(t *testing.T) {
	var errs bytes.Buffer
	code := config.Run(t.Context(), new(struct {
		Faulty faulty `cmd:""`
	}), config.Program{Name: "demo", Args: []string{"faulty"}, Stderr: &errs})
	const want = "demo: 3 errors:\n  - routes.yaml: one\n  - routes.yaml: two\n  - routes.yaml: three: EOF\n"
	if code != 1 || errs.String() != want {
		t.Errorf("exit %d, want 1; output %q, want %q", code, errs.String(), want)
	}
}

func TestServiceLinksAreNotSettings(t *testing.T) {
	_, code, out := run(t, []string{"serve"},
		"LILYPAD_AUTH_SERVICE_HOST=10.0.0.1", "LILYPAD_AUTH_SERVICE_PORT=80", "LILYPAD_AUTH_PORT=tcp://10.0.0.1:80", "LILYPAD_AUTH_PORT_80_TCP_ADDR=10.0.0.1")
	if code != 0 {
		t.Errorf("exit %d, want 0: %s", code, out)
	}
}

func TestSecretFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("tadpole\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, code, out := run(t, []string{"serve"}, "LILYPAD_PASSWORD_FILE="+path)
	if code != 0 || c.Serve.Password.Reveal() != "tadpole" {
		t.Errorf("exit %d, want 0 and the secret of the file: %s", code, out)
	}
	_, code, out = run(t, []string{"serve"}, "LILYPAD_PASSWORD_FILE="+path, "LILYPAD_PASSWORD=frog")
	if code != 1 || !strings.Contains(out, "keep one") || strings.Contains(out, "frog") {
		t.Errorf("variable and file: exit %d, want 1 and an error without the secret: %s", code, out)
	}
}

func TestSecretNeverPrintsItself(t *testing.T) {
	s := struct{ S config.Secret }{config.NewSecret("tadpole")}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "s", s.S, "struct", s)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "s", s.S, "struct", s)
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	all := b.String() + string(j) + fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s.S, s.S, s.S, s.S)
	if strings.Contains(all, "tadpole") || strings.Contains(all, "746164") {
		t.Errorf("the secret is in: %s", all)
	}
}

func TestHelpShowsVariables(t *testing.T) {
	_, code, out := run(t, []string{"serve", "--help"})
	if code != 0 || !strings.Contains(out, "LILYPAD_TTL") {
		t.Errorf("exit %d, want 0 and LILYPAD_TTL in:\n%s", code, out)
	}
}

type other struct {
	Where string `env:"-" help:"Place."`
	Count int    `help:"Number."`
}

func (other) Run() error { return nil }

type many struct {
	One    other `cmd:"" help:"Other."`
	Two    other `cmd:"" help:"Other."`
	Three  other `cmd:"" help:"Other."`
	Four   other `cmd:"" help:"Other."`
	Five   other `cmd:"" help:"Other."`
	Six    other `cmd:"" help:"Other."`
	Nested struct {
		Inner other `cmd:"" help:"Inner."`
		Outer other `cmd:"" help:"Outer."`
	} `cmd:"" help:"Nested."`
}

func runMany(t *testing.T, args []string, environ ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	code = config.Run(t.Context(), new(many), config.Program{Name: "demo", Args: args, Environ: environ, Stdout: &out, Stderr: &out})
	return code, out.String()
}

func TestACommandThatIsMissingOrUnknownIsAnsweredWithAllCommands(t *testing.T) {
	for args, want := range map[string]string{
		"":             "demo: a command is missing: use one of one, two, three, four, five, six, nested (see --help)\n",
		"nope":         "demo: unknown command \"nope\": use one of one, two, three, four, five, six, nested (see --help)\n",
		"sox --count":  "demo: unknown command \"sox\": use one of one, two, three, four, five, six, nested (see --help)\n",
		"nested":       "demo: a command is missing after nested: use one of inner, outer (see --help)\n",
		"nested other": "demo: unknown command \"nested other\": use one of inner, outer (see --help)\n",
		"--nope":       "demo: unknown flag --nope\n",
		"one more":     "demo: unexpected argument more\n",
	} {
		if code, said := runMany(t, strings.Fields(args)); code != 1 || said != want {
			t.Errorf("%q: exit %d, want 1; output %q, want %q", args, code, said, want)
		}
	}
}

func TestAFlagMayHaveNoVariable(t *testing.T) {
	if code, said := runMany(t, []string{"one"}, "LILYPAD_WHERE=here"); code != 1 || !strings.Contains(said, "LILYPAD_WHERE is no setting") {
		t.Errorf("exit %d, want 1 and LILYPAD_WHERE refused: %s", code, said)
	}
	if _, said := runMany(t, []string{"one", "--help"}); strings.Contains(said, "LILYPAD_WHERE") || !strings.Contains(said, "LILYPAD_COUNT") {
		t.Errorf("want LILYPAD_COUNT and not LILYPAD_WHERE in:\n%s", said)
	}
}

func TestAValueThatIsNoNumberIsSaidToBeNone(t *testing.T) {
	for value, want := range map[string]string{
		"two": `"two" is not a number`, "0x10": `"0x10" is not a number`, "1.5": `"1.5" is not a whole number`, "99999999999999999999": "99999999999999999999 is out of range",
	} {
		if code, said := runMany(t, []string{"one"}, "LILYPAD_COUNT="+value); code != 1 || said != "demo: LILYPAD_COUNT: "+want+"\n" {
			t.Errorf("LILYPAD_COUNT=%s: exit %d, want 1; output %q, want the error %s", value, code, said, want)
		}
		if code, said := runMany(t, []string{"one", "--count=" + value}); code != 1 || said != "demo: --count: "+want+"\n" {
			t.Errorf("--count=%s: exit %d, want 1; output %q, want the error %s", value, code, said, want)
		}
	}
	if _, code, said := run(t, []string{"serve"}, "LILYPAD_TTL=soon"); code != 1 || !strings.Contains(said, `LILYPAD_TTL: "soon" is not a duration, for example 10s or 5m`) {
		t.Errorf("exit %d, want 1 and an error that names a valid duration: %s", code, said)
	}
}

func TestAnAddressToListenOnHasAPort(t *testing.T) {
	for address, good := range map[string]bool{
		":8080": true, "127.0.0.1:0": true, "[::1]:65535": true, "8080": false, "localhost": false, ":http": true, ":65536": false, ":-1": false, "::1": false,
	} {
		if err := config.CheckListen("LILYPAD_LISTEN", address); (err == nil) != good {
			t.Errorf("%q: error %v, want it accepted: %t", address, err, good)
		}
	}
}
