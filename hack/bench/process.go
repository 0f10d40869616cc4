package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lilypad.example/hack/internal/debian"
	"lilypad.example/services/pkg/process"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux (proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// server is a measured process and its address.
type server struct {
	*process.Process

	address string
}

// program is how to start a program.
type program struct {
	name, address string
	path          string
	args, env     []string
	mute          bool // its log goes to /dev/null
	pod           bool // it runs with the environment of a pod in l.cluster
}

func (l *lab) start(ctx context.Context, p program, ready func(context.Context) error) (*server, error) {
	args := append([]string{p.path}, p.args...)
	if p.pod {
		args = append([]string{l.self, "pod", l.cluster.dir}, args...)
	}
	cmd := process.Command(ctx, args[0], args[1:]...)
	if p.pod {
		alone(cmd.SysProcAttr)
	}
	cmd.Env = append(process.Environment(nil), p.env...)
	log := l.file(p.name + ".log")
	if p.mute {
		log = os.DevNull
	}
	// A file, not a pipe: reading a pipe would use CPU time during the measurement.
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	s, err := l.run(ctx, p.name, p.address, cmd, ready)
	if err != nil {
		text, _ := os.ReadFile(log)
		err = fmt.Errorf("%w\n%s", err, text)
	}
	return s, err
}

// startForeign starts another proxy, as the unprivileged user of l.home.
func (l *lab) startForeign(ctx context.Context, name, address, program string, args []string) (*server, error) {
	return l.run(ctx, name, address, l.home.Command(ctx, debian.Find(program), args...), answers("http://"+address+"/"))
}

// run starts a command, which close stops, and waits until it is ready.
func (l *lab) run(ctx context.Context, name, address string, cmd *exec.Cmd, ready func(context.Context) error) (*server, error) {
	started, err := process.Start(name, cmd)
	if err != nil {
		return nil, err
	}
	s := &server{Process: started, address: address}
	l.running = append(l.running, s)
	return s, process.Await(ctx, process.Patience, ready, started)
}

// cpu returns the CPU time of the process group.
func cpu(p *process.Process) (time.Duration, error) {
	var sum time.Duration
	err := members(p, func(dir string, stat []string) error {
		fields := []int{statUser, statSystem}
		if filepath.Base(dir) == strconv.Itoa(p.PID) { // ended children are counted at their parent
			fields = append(fields, statEndedUser, statEndedSystem)
		}
		for _, field := range fields {
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

// peak returns the peak memory of the group in bytes: the sum of the peaks of its processes.
func peak(p *process.Process) (int64, error) {
	var sum int64
	err := members(p, func(dir string, _ []string) error {
		mark, err := field(filepath.Join(dir, "status"), "VmHWM")
		if err != nil {
			return err
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(mark, " kB"), 10, 64)
		sum += kilobytes << 10
		return err
	})
	return sum, err
}

// forgetPeak resets the peaks (proc_pid_clear_refs(5)).
func forgetPeak(p *process.Process) error {
	return members(p, func(dir string, _ []string) error {
		return os.WriteFile(filepath.Join(dir, "clear_refs"), []byte("5"), 0)
	})
}

// field returns the first value of a name in a file of /proc.
func field(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", path, name)
}

// Fields of /proc/PID/stat after the program's name (proc_pid_stat(5)).
const (
	statParent = 1
	statGroup  = 2
	statUser   = 11
	statSystem = 12
	// Of ended children.
	statEndedUser   = 13
	statEndedSystem = 14
)

// members calls f for every process of the group and for its children, which in PostgreSQL have
// process groups of their own.
func members(p *process.Process, f func(dir string, stat []string) error) error {
	group, found := strconv.Itoa(p.PID), false
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		stat := statFields(string(text))
		if len(stat) <= statEndedSystem || stat[statGroup] != group && stat[statParent] != group {
			continue
		}
		found = true
		if err := f(dir, stat); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s has ended\n%s", p.Name, p.Output.String())
	}
	return nil
}

// statFields returns the fields after the name, which is in parentheses and may contain any
// character.
func statFields(stat string) []string {
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
}
