package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"lilypad.example/services/pkg/process"
)

// group is the programs that run together: when one ends, all do.
type group struct {
	log      io.Writer
	mu       sync.Mutex // a log line is written whole
	lastLine time.Time
	children []*process.Process
	ended    chan *process.Process
}

// spec is how a program is started.
type spec struct {
	name, path string
	args, env  []string
	ready      string // the URL that says whether it is
}

func newGroup(log io.Writer) *group { return &group{log: log, ended: make(chan *process.Process, 8)} }

// start starts a program and copies what it logs, its name before each line.
func (g *group) start(ctx context.Context, s spec) error {
	cmd := process.Command(context.WithoutCancel(ctx), s.path, s.args...) // stop ends it, in its turn
	cmd.Env = s.env
	out := &lines{group: g, name: s.name}
	cmd.Stdout, cmd.Stderr = out, out
	child, err := process.Start(s.name, cmd)
	if err != nil {
		return err
	}
	g.children = append(g.children, child)
	go func() {
		<-child.Ended()
		g.ended <- child
	}()
	return nil
}

// lines is the output of one program.
type lines struct {
	group *group
	name  string
	rest  []byte // a line whose end has not come
}

func (l *lines) Write(p []byte) (int, error) {
	l.group.mu.Lock()
	defer l.group.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		_, _ = fmt.Fprintf(l.group.log, "%-8s | %s\n", l.name, line)
		l.rest, l.group.lastLine = rest, time.Now()
	}
}

// await calls probe until its error is not errNotYet, and returns that error. It fails when a
// program or ctx ends first, or when it takes too long.
func (g *group) await(ctx context.Context, probe func(context.Context) error) error {
	var failed error
	err := process.Await(ctx, process.Patience, func(ctx context.Context) error {
		err := probe(ctx)
		if errors.Is(err, errNotYet) {
			return err
		}
		failed = err
		return nil
	}, g.children...)
	return errors.Join(err, failed)
}

// settle returns when the programs have logged nothing for quiet, or after patience: what is
// written then is not lost among log lines.
func (g *group) settle(ctx context.Context) {
	const quiet, patience = 200 * time.Millisecond, 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for began := time.Now(); ; {
		g.mu.Lock()
		last := g.lastLine
		g.mu.Unlock()
		if last.Before(began) {
			last = began
		}
		left := quiet - time.Since(last)
		if left <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(left):
		}
	}
}

// wait returns when a program ends, with the reason, or when ctx does.
func (g *group) wait(ctx context.Context) error {
	select {
	case child := <-g.ended:
		return fmt.Errorf("%s ended (%w); its last lines are above", child.Name, child.Err())
	case <-ctx.Done():
		return nil
	}
}

// stop ends the programs, the last to start first, so that none misses what it depends on.
func (g *group) stop() {
	for _, child := range slices.Backward(g.children) {
		child.Stop(syscall.SIGTERM)
	}
}
