package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// tally counts the results of `go test -json` and prints a line for each package and the output of
// failed tests.
//
// It counts leaves: a test with subtests counts only if it fails without a failing subtest; a fuzz
// target counts once, whatever its seeds; a package that fails without a failing test counts as one
// failure.
type tally struct {
	out             io.Writer
	skipIsFailure   bool
	passed, failed  int
	skipped, faults []string
	builds          map[string][]string // output of the compiler, by import path
	packages        map[string]*packageRun
}

// packageRun is the state of a package whose tests still run.
type packageRun struct {
	order  []string
	result map[string]string
	output map[string][]string // by test; "" for the package itself
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string
	Elapsed                       float64
}

func newTally(out io.Writer, skipIsFailure bool) *tally {
	return &tally{out: out, skipIsFailure: skipIsFailure, builds: map[string][]string{}, packages: map[string]*packageRun{}}
}

// fail counts a failed check that is not a Go test.
func (t *tally) fail(what string) {
	t.failed++
	t.faults = append(t.faults, what)
	t.printf("FAIL  %s\n", what)
}

// read adds the events of a stream.
func (t *tally) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		t.printf("%s", line) // output of the go command itself
		return
	}
	if e.Action == "build-output" {
		t.builds[e.ImportPath] = append(t.builds[e.ImportPath], e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	p := t.packages[e.Package]
	if p == nil {
		p = &packageRun{result: map[string]string{}, output: map[string][]string{}}
		t.packages[e.Package] = p
	}
	switch e.Action {
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
	case "run":
		p.order = append(p.order, e.Test)
	case "pass", "fail", "skip":
		if e.Test != "" {
			p.result[e.Test] = e.Action
			return
		}
		t.finish(e, p)
		delete(t.packages, e.Package)
	}
}

// finish counts and prints the results of a package.
func (t *tally) finish(e event, p *packageRun) {
	var passed int
	var failed []string
	for _, name := range p.order {
		switch {
		case p.result[name] == "skip":
			t.skipped = append(t.skipped, e.Package+"."+name)
			if t.skipIsFailure {
				failed = append(failed, name)
			}
		case p.result[name] == "pass":
			if p.counts(name) {
				passed++
			}
		case !p.childFailed(name):
			failed = append(failed, name) // "fail", or no result because the process died
		}
	}
	if e.Action == "fail" && len(failed) == 0 {
		failed = []string{""}
	}
	t.passed += passed
	t.failed += len(failed)
	for _, name := range failed {
		t.faults = append(t.faults, strings.TrimSuffix(e.Package+"."+name, "."))
		t.faults = append(t.faults, firstErrors(p.output[name])...)
	}
	t.print(e, p, passed, failed)
}

// counts reports whether to count a passed test: parents and fuzz seeds are not counted.
func (p *packageRun) counts(name string) bool {
	if strings.HasPrefix(name, "Fuzz") {
		return !strings.Contains(name, "/")
	}
	return !slices.ContainsFunc(p.order, func(other string) bool { return strings.HasPrefix(other, name+"/") })
}

func (p *packageRun) childFailed(name string) bool {
	return slices.ContainsFunc(p.order, func(other string) bool {
		return strings.HasPrefix(other, name+"/") && p.result[other] != "pass" && p.result[other] != "skip"
	})
}

func (t *tally) print(e event, p *packageRun, passed int, failed []string) {
	switch {
	case len(failed) > 0:
		t.printf("FAIL  %s  %.1fs, %d passed, %d failed\n", e.Package, e.Elapsed, passed, len(failed))
	case len(p.order) > 0:
		t.printf("ok    %s  %.1fs, %d passed\n", e.Package, e.Elapsed, passed)
	}
	if len(failed) == 0 {
		return
	}
	t.quote(t.builds[e.FailedBuild])
	for _, name := range p.order {
		if p.result[name] != "pass" && (p.result[name] != "skip" || t.skipIsFailure) {
			t.quote(p.output[name])
		}
	}
	t.quote(p.output[""])
}

// quote prints the output of a test, indented, without the lines that `go test` adds.
func (t *tally) quote(lines []string) {
	for _, line := range lines {
		switch strings.TrimSpace(line) {
		case "", "PASS", "FAIL":
			continue
		}
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "FAIL\t") {
			t.printf("      %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// errorLine is the first line of what t.Error and its like print.
var errorLine = regexp.MustCompile(`^ +\S+\.go:\d+: `)

// firstErrors returns the first three errors of a test, one line each, so that the summary says
// what failed, whatever logs the test printed after them.
func firstErrors(output []string) []string {
	var found []string
	for _, line := range output {
		if errorLine.MatchString(line) && len(found) < 3 {
			found = append(found, "  "+strings.TrimSpace(line))
		}
	}
	return found
}

// close prints skipped and failed tests, and the count on the last line.
func (t *tally) close() error {
	t.list("skipped", t.skipped)
	t.list("failed", t.faults)
	t.printf("%d passed, %d failed\n", t.passed, t.failed)
	if t.failed > 0 {
		return errTestsFailed
	}
	return nil
}

func (t *tally) list(title string, names []string) {
	if len(names) == 0 {
		return
	}
	t.printf("\n%s:\n", title)
	for _, name := range names {
		t.printf("  %s\n", name)
	}
}

func (t *tally) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }
