package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a process may take to end.
const patience = 10 * time.Second

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux (proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// A process is a program that runs, in a process group of its own with whatever
// it starts itself.
type process struct {
	name    string
	address string // where it listens
	cmd     *exec.Cmd
	log     string
	ended   chan struct{}
	cause   error
}

// A program is how to start a process.
type program struct {
	name, address string
	path          string
	args, env     []string
	who           *syscall.Credential // nil: ourselves
	mute          bool                // what it says goes to /dev/null, and costs no disk
}

func (l *lab) start(ctx context.Context, p program, ready func() bool) (*process, error) {
	proc := &process{name: p.name, address: p.address, log: filepath.Join(l.dir, p.name+".log"), ended: make(chan struct{})}
	if p.mute {
		proc.log = os.DevNull
	}
	out, err := os.OpenFile(proc.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	proc.cmd = exec.CommandContext(ctx, p.path, p.args...)
	proc.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.who}
	proc.cmd.Cancel = func() error { return syscall.Kill(-proc.cmd.Process.Pid, syscall.SIGINT) }
	proc.cmd.Dir, proc.cmd.Stdout, proc.cmd.Stderr = "/", out, out
	proc.cmd.Env = environment(p.env)
	if err := proc.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		proc.cause = proc.cmd.Wait()
		close(proc.ended)
	}()
	l.running = append(l.running, proc)
	err = proc.await(ctx, ready)
	return proc, err
}

// environment is ours without settings of the product, which a shell may hold for another purpose, and with more.
func environment(more []string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LILYPAD_") {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

// await returns when ready does, or with the program's own words when it ended or took too long.
func (p *process) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, ctx.Err(), p.words())
		case <-p.ended:
			return fmt.Errorf("%s ended: %w\n%s", p.name, p.cause, p.words())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (p *process) words() string {
	said, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(said)
}

// stop ends the process and whatever it has started. To PostgreSQL, SIGINT
// means now and SIGTERM when the last client has left.
func (p *process) stop() error {
	group := p.cmd.Process.Pid
	_ = syscall.Kill(-group, syscall.SIGINT)
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = syscall.Kill(-group, syscall.SIGKILL)
		<-p.ended
	}
	deadline := time.Now().Add(patience)
	for syscall.Kill(-group, 0) == nil {
		if time.Now().After(deadline) {
			return syscall.Kill(-group, syscall.SIGKILL)
		}
		<-time.After(20 * time.Millisecond)
	}
	return nil
}

// cpu is what the whole process group has used so far.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	err := p.members(func(dir string, stat []string) error {
		for _, field := range []int{statUser, statSystem} {
			ticks, err := strconv.ParseInt(stat[field], 10, 64)
			if err != nil {
				return fmt.Errorf("%s/stat: %w", dir, err)
			}
			sum += time.Duration(ticks) * tick
		}
		return nil
	})
	return sum, err
}

// peak is the most memory that the group has held, in bytes: the sum of the members' high-water marks.
func (p *process) peak() (int64, error) {
	var sum int64
	err := p.members(func(dir string, _ []string) error {
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return fmt.Errorf("%s/status has no VmHWM", dir)
		}
		kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
		sum += kilobytes << 10
		return err
	})
	return sum, err
}

// Fields of /proc/PID/stat, counted behind the program's name (proc_pid_stat(5)).
const (
	statParent = 1
	statGroup  = 2
	statUser   = 11
	statSystem = 12
)

// members calls f for every process of the group, and for children that have left it: each of
// PostgreSQL's is the leader of a session of its own.
func (p *process) members(f func(dir string, stat []string) error) error {
	group, found := strconv.Itoa(p.cmd.Process.Pid), false
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended since
		}
		stat := statFields(string(text))
		if len(stat) <= statSystem || stat[statGroup] != group && stat[statParent] != group {
			continue
		}
		found = true
		if err := f(dir, stat); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s has ended\n%s", p.name, p.words())
	}
	return nil
}

// statFields are the fields behind the name, which stands in parentheses and may hold any.
func statFields(stat string) []string {
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
}
