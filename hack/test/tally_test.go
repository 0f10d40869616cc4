package main

import (
	"errors"
	"strings"
	"testing"
)

// lines is a stream of events, written as "action package test output".
func lines(t *testing.T, events ...string) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		f := strings.SplitN(e, " ", 4)
		for len(f) < 4 {
			f = append(f, "")
		}
		b.WriteString(`{"Action":"` + f[0] + `","Package":"` + f[1] + `","Test":"` + f[2] + `","Output":"` + f[3] + `\n"}` + "\n")
	}
	return b.String()
}

func TestTally(t *testing.T) {
	for name, test := range map[string]struct {
		events         []string
		ci             bool
		passed, failed int
		says           string
	}{
		"a parent is its subtests": {
			events: []string{"run p A", "run p A/x", "run p A/y", "pass p A/x", "pass p A/y", "pass p A", "pass p"},
			passed: 2, says: "ok    p  0.0s, 2 passed",
		},
		"a failing subtest is one failure and its output is shown": {
			events: []string{"run p A", "run p A/x", "output p A/x x.go:1: boom", "fail p A/x", "fail p A", "fail p"},
			failed: 1, says: "x.go:1: boom",
		},
		"a parent that fails by itself counts": {
			events: []string{"run p A", "run p A/x", "pass p A/x", "output p A teardown broke", "fail p A", "fail p"},
			passed: 1, failed: 1, says: "teardown broke",
		},
		"a fuzz target is one test": {
			events: []string{"run p FuzzA", "run p FuzzA/seed#0", "run p FuzzA/seed#1", "pass p FuzzA/seed#0", "pass p FuzzA/seed#1", "pass p FuzzA", "pass p"},
			passed: 1,
		},
		"a test under which the process died has failed": {
			events: []string{"run p A", "run p B", "pass p A", "output p B panic: boom", "fail p"},
			passed: 1, failed: 1, says: "panic: boom",
		},
		"a package that fails without a test is one failure": {
			events: []string{"output p  TestMain broke", "fail p"},
			failed: 1, says: "TestMain broke",
		},
		"a skip passes on a developer's machine": {
			events: []string{"run p A", "skip p A", "pass p"}, says: "skipped:",
		},
		"a skip fails in CI": {
			events: []string{"run p A", "output p A no database", "skip p A", "pass p"},
			ci:     true, failed: 1, says: "no database",
		},
		"packages are told apart": {
			events: []string{"run p A", "run q A", "fail q A", "pass p A", "fail q", "pass p"},
			passed: 1, failed: 1, says: "FAIL  q",
		},
		"a package without tests is silent": {
			events: []string{"skip p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			sum := newTally(&out, test.ci)
			if err := sum.read(strings.NewReader(lines(t, test.events...))); err != nil {
				t.Fatal(err)
			}
			err := sum.close()
			if sum.passed != test.passed || sum.failed != test.failed {
				t.Errorf("%d passed, %d failed; want %d, %d\n%s", sum.passed, sum.failed, test.passed, test.failed, &out)
			}
			if errors.Is(err, errTestsFailed) != (test.failed > 0) {
				t.Errorf("close returns %v, want errTestsFailed if a test failed", err)
			}
			if !strings.Contains(out.String(), test.says) {
				t.Errorf("output lacks %q:\n%s", test.says, &out)
			}
		})
	}
}

func TestTheSummaryNamesTheErrorsOfAFailedTest(t *testing.T) {
	var out strings.Builder
	sum := newTally(&out, false)
	_ = sum.read(strings.NewReader(lines(t, "run p A", "output p A     a_test.go:1: status 500, want 200",
		"output p A     a_test.go:9: a long log", "output p A         GET / 200", "fail p A", "fail p")))
	_ = sum.close()
	_, summary, _ := strings.Cut(out.String(), "\nfailed:\n")
	const want = "  p.A\n    a_test.go:1: status 500, want 200\n    a_test.go:9: a long log\n0 passed, 1 failed\n"
	if summary != want {
		t.Errorf("summary %q, want %q", summary, want)
	}
}

func TestTallyShowsCompilerErrors(t *testing.T) {
	var out strings.Builder
	sum := newTally(&out, false)
	_ = sum.read(strings.NewReader(`{"ImportPath":"p [p.test]","Action":"build-output","Output":"a.go:1: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`))
	if sum.failed != 1 || !strings.Contains(out.String(), "undefined: x") {
		t.Errorf("%d failed, want 1 with the compiler error:\n%s", sum.failed, &out)
	}
}
