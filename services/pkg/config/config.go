// Package config parses a program's flags and environment into its one configuration struct, with
// kong. Nothing else reads the environment.
//
// Every flag --some-name is also the environment variable LILYPAD_SOME_NAME (unless it has the tag
// env:"-"). A Secret may also be in the file that LILYPAD_SOME_NAME_FILE names. All errors are
// reported at once: values that do not parse, variables without a flag, and what the command's own
// Check finds.
package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

const prefix = "LILYPAD_"

// serviceLink matches the variables that Kubernetes sets in a container for a Service named
// lilypad-…. No setting has such a suffix.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)$`)

// A Checker is a command that validates its settings after they are parsed. Check returns all
// errors, joined with errors.Join. Each is a sentence that names the setting.
type Checker interface{ Check() error }

// A Program holds what Run needs besides the configuration struct.
type Program struct {
	Name, Description string
	Args              []string
	Environ           []string
	Stdin             io.Reader
	Stdout, Stderr    io.Writer
}

// Main runs the command that the process's arguments select, until it ends or SIGINT or SIGTERM
// arrives, and returns the exit code.
func Main(cli any, name, description string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return Run(ctx, cli, Program{name, description, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr})
}

// Run parses p's arguments and environment into cli, a struct of kong commands, checks them, and
// calls the method Run(context.Context, config.Program) error of the selected command. It writes
// all errors to p.Stderr and returns the exit code.
func Run(ctx context.Context, cli any, p Program) int {
	err := run(ctx, cli, p)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[helpShown](err); ok {
		return int(code)
	}
	all := flatten(err)
	if len(all) == 1 {
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n", p.Name, all[0])
		return 1
	}
	_, _ = fmt.Fprintf(p.Stderr, "%s: %d errors:\n", p.Name, len(all))
	for _, e := range all {
		_, _ = fmt.Fprintf(p.Stderr, "  - %s\n", e)
	}
	return 1
}

// helpShown is kong's exit code after it has printed the help. A panic carries it out of Parse.
type helpShown int

func (helpShown) Error() string { return "help was shown" }

func run(ctx context.Context, cli any, p Program) (err error) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(helpShown)
			if !ok {
				panic(r)
			}
			err = code
		}
	}()
	env := &environment{values: lookup(p.Environ)}
	parser, err := kong.New(cli,
		kong.Name(p.Name), kong.Description(p.Description),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(code int) { panic(helpShown(code)) }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.KindMapper(reflect.Int, number{}), kong.KindMapper(reflect.Int64, number{}),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), duration{}),
		kong.PostBuild(env.nameFlags), kong.ValueFormatter(describe),
		kong.Resolvers(env),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(p),
	)
	if err != nil {
		return err
	}
	chosen, err := parser.Parse(p.Args)
	faults := []error{commandError(err), env.faults()}
	if err == nil {
		if c, ok := reflect.TypeAssert[Checker](chosen.Selected().Target.Addr()); ok {
			faults = append(faults, c.Check())
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return chosen.Run()
}

// commandError rewords err if a command is missing or unknown, because kong lists only the first
// few commands.
func commandError(err error) error {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || len(parse.Context.Path) == 0 {
		return err
	}
	last := parse.Context.Path[len(parse.Context.Path)-1]
	node, rest := last.Node(), last.Remainder()
	if node.Leaf() || len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		return err
	}
	names := make([]string, 0, len(node.Children))
	for _, child := range node.Children {
		names = append(names, child.Name)
	}
	fault := "a command is missing"
	switch before := strings.TrimSpace(strings.TrimPrefix(node.Path(), parse.Context.Model.Name)); {
	case len(rest) > 0:
		fault = fmt.Sprintf("unknown command %q", strings.TrimSpace(before+" "+rest[0]))
	case before != "":
		fault += " after " + before
	}
	return fmt.Errorf("%s: use one of %s (see --help)", fault, strings.Join(names, ", "))
}

// flatten returns the messages of a joined error, each with the prefix of the errors that wrap it.
func flatten(err error) []string {
	// A single message may wrap several errors too. Only a message in the format of errors.Join is
	// a list.
	if joined, ok := err.(interface{ Unwrap() []error }); ok && err.Error() == errors.Join(joined.Unwrap()...).Error() {
		parts := joined.Unwrap()
		all := make([]string, 0, len(parts))
		for _, e := range parts {
			all = append(all, flatten(e)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		if before, ok := strings.CutSuffix(err.Error(), inner.Error()); ok {
			all := flatten(inner)
			for i := range all {
				all[i] = before + all[i]
			}
			return all
		}
	}
	return []string{err.Error()}
}

// environment resolves flags from LILYPAD_* variables. It collects their errors instead of stopping
// at the first.
type environment struct {
	values map[string]string
	known  map[string]bool
	wrong  []error
}

func lookup(environ []string) map[string]string {
	values := make(map[string]string)
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, prefix) {
			values[name] = value
		}
	}
	return values
}

// variable returns the name of the flag's variable, or "" for a flag with the tag env:"-".
func variable(flag *kong.Flag) string {
	if slices.Contains(flag.Envs, "-") {
		return ""
	}
	return prefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
}

func isSecret(flag *kong.Flag) bool { return flag.Target.Type() == reflect.TypeFor[Secret]() }

// describe returns a flag's help text with the name of its variable.
func describe(value *kong.Value) string {
	if value.Flag == nil || value.Name == "help" {
		return value.Help
	}
	name := variable(value.Flag)
	if name == "" {
		return value.Help
	}
	if isSecret(value.Flag) {
		name += ", $" + name + "_FILE"
	}
	return value.Help + " ($" + name + ")"
}

// nameFlags records the variables of all flags of all commands.
func (e *environment) nameFlags(k *kong.Kong) error {
	e.known = make(map[string]bool)
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && flag.Name != "help" {
			name := variable(flag)
			e.known[name] = true
			if isSecret(flag) {
				e.known[name+"_FILE"] = true
			}
		}
		return next(nil)
	})
}

// Validate implements kong.Resolver.
func (e *environment) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It returns the flag's value in the environment.
func (e *environment) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := variable(flag)
	value, set := e.values[name]
	if isSecret(flag) {
		var err error
		if value, set, err = e.secret(name); err != nil {
			e.wrong = append(e.wrong, err)
			return nil, nil //nolint:nilnil // to kong, no value
		}
	}
	if !set || value == "" {
		return nil, nil //nolint:nilnil // to kong, no value
	}
	if err := check(flag, value); err != nil {
		e.wrong = append(e.wrong, fmt.Errorf("%s: %w", name, err))
		return nil, nil //nolint:nilnil // reported with all others by faults
	}
	return value, nil
}

// secret returns the value of NAME or the content of the file that NAME_FILE names.
func (e *environment) secret(name string) (value string, set bool, err error) {
	value, direct := e.values[name]
	path, byFile := e.values[name+"_FILE"]
	if direct && byFile {
		return "", false, fmt.Errorf("%s and %s_FILE are both set: keep one", name, name)
	}
	if !byFile {
		return value, direct, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", false, fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(b)), true, nil
}

func check(flag *kong.Flag, value string) error {
	if flag.Enum != "" && !flag.EnumMap()[value] {
		return fmt.Errorf("%q is none of %s", value, flag.Enum)
	}
	scan := kong.ScanAsType(kong.FlagValueToken, value)
	scratch := reflect.New(flag.Target.Type()).Elem()
	return flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, scratch)
}

// number decodes integers.
type number struct{}

// Decode implements kong.Mapper.
func (number) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("number", &text); err != nil {
		return err
	}
	n, err := strconv.ParseInt(text, 10, target.Type().Bits())
	switch _, fraction := strconv.ParseFloat(text, 64); {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is out of range", text)
	case err != nil && fraction == nil:
		return fmt.Errorf("%q is not a whole number", text)
	case err != nil:
		return fmt.Errorf("%q is not a number", text)
	}
	target.SetInt(n)
	return nil
}

// duration decodes a time.Duration.
type duration struct{}

// Decode implements kong.Mapper.
func (duration) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration, for example 10s or 5m", text)
	}
	target.SetInt(int64(d))
	return nil
}

func (e *environment) faults() error {
	var unknown []string
	for name := range e.values {
		if !e.known[name] && !serviceLink.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	all := e.wrong
	for _, name := range unknown {
		all = append(all, fmt.Errorf("%s is no setting of this program: see --help", name))
	}
	return errors.Join(all...)
}
