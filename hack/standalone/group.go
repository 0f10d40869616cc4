package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	startPatience = 90 * time.Second // until everything must answer
	stopPatience  = 10 * time.Second // until a child that was asked to end is killed
)

// A group is the children that run together: when one ends, all do.
type group struct {
	log      io.Writer
	mu       sync.Mutex // a log line is written whole
	lastLine time.Time
	children []*child
	died     chan error
}

type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// A spec is how a child is started.
type spec struct {
	name, path string
	args, env  []string
	ops        int // the port that says whether it is ready
}

func newGroup(log io.Writer) *group { return &group{log: log, died: make(chan error, 8)} }

// start starts a child and copies what it logs, its name before each line.
func (g *group) start(s spec) error {
	out, in := io.Pipe()
	cmd := exec.Command(s.path, s.args...) //nolint:noctx // stop ends it, in its turn
	cmd.Env = s.env
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	g.children = append(g.children, c)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		g.copyLines(s.name, out)
	}()
	go func() {
		err := cmd.Wait()
		_ = in.Close()
		<-copied
		if err == nil {
			err = errors.New("exit status 0")
		}
		g.died <- fmt.Errorf("%s ended (%w); its last lines are above, and all the rest ended with it", s.name, err)
		close(c.ended)
	}()
	return nil
}

func (g *group) copyLines(name string, from io.Reader) {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			g.mu.Lock()
			_, _ = fmt.Fprintf(g.log, "%-8s | %s", name, line)
			g.lastLine = time.Now()
			g.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// await calls probe until it fails no more with errNotYet. It fails when a
// child ends before that, when ctx does, or when it takes too long.
func (g *group) await(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := probe(ctx)
		if !errors.Is(err, errNotYet) {
			return err
		}
		select {
		case err := <-g.died:
			return err
		case <-ctx.Done():
			return fmt.Errorf("not everything answers after %v: %w", startPatience, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// settle returns when the children have logged nothing for quiet, or when ctx
// ends or they go on for too long: what is written then comes after it all.
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

// wait returns when a child ends, with its fault, or when ctx does.
func (g *group) wait(ctx context.Context) error {
	select {
	case err := <-g.died:
		return err
	case <-ctx.Done():
		return nil
	}
}

// stop ends the children, the last to start first, so that none misses what it depends on.
func (g *group) stop() {
	for _, c := range slices.Backward(g.children) {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-c.ended:
		case <-time.After(stopPatience):
			_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
			<-c.ended
		}
	}
}
