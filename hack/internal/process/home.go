package process

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// A Home is a temporary folder in which other people's servers run: as somebody
// unprivileged when we are root, for PostgreSQL refuses to be root.
type Home struct {
	Dir string
	Who *syscall.Credential // nil: ourselves
}

// OpenHome makes one. Close must be called.
func OpenHome(prefix string) (*Home, error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, err
	}
	return &Home{Dir: dir, Who: who}, os.Chmod(dir, 0o711) //nolint:gosec // the servers run as somebody else and pass through
}

// Close removes the folder.
func (h *Home) Close() error { return os.RemoveAll(h.Dir) }

// Room makes a folder for one server, and returns its path.
func (h *Home) Room(name string) (string, error) {
	dir := filepath.Join(h.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, h.give(dir)
}

// Write writes a file that a server reads.
func (h *Home) Write(path, text string) error {
	return errors.Join(os.WriteFile(path, []byte(text), 0o600), h.give(path))
}

// Server is a command that runs as h.Who.
func (h *Home) Server(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := Command(ctx, path, args...)
	cmd.SysProcAttr.Credential = h.Who
	return cmd
}

// Start starts a server, its output in a file of that name.
func (h *Home) Start(ctx context.Context, name, path string, args []string, ready func() bool) (*Process, error) {
	return Start(ctx, name, h.Server(ctx, path, args...), filepath.Join(h.Dir, name+".log"), ready)
}

func (h *Home) give(path string) error {
	if h.Who == nil {
		return nil
	}
	return os.Chown(path, int(h.Who.Uid), int(h.Who.Gid))
}

func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else is the answer
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// FreeAddress is a loopback address whose port was free a moment ago.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
