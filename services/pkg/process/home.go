package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Home is a temporary folder for servers that refuse to run as root, as PostgreSQL does. If we are
// root, they run as the user postgres, or else as nobody.
type Home struct {
	Dir string

	user *syscall.Credential // nil: ourselves
}

// OpenHome makes a folder whose name begins with prefix. Close must be called.
func OpenHome(prefix string) (*Home, error) {
	credential, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, err
	}
	return &Home{Dir: dir, user: credential}, os.Chmod(dir, 0o711) //nolint:gosec // the servers' user passes through
}

// Close removes the folder.
func (h *Home) Close() error { return os.RemoveAll(h.Dir) }

// Mkdir makes a folder for one server and returns its path.
func (h *Home) Mkdir(name string) (string, error) {
	dir := filepath.Join(h.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, h.Chown(dir)
}

// WriteFile writes a file that only a server reads.
func (h *Home) WriteFile(path, text string) error {
	return errors.Join(os.WriteFile(path, []byte(text), 0o600), h.Chown(path))
}

// Chown gives a file to the servers' user.
func (h *Home) Chown(path string) error {
	if h.user == nil {
		return nil
	}
	return os.Chown(path, int(h.user.Uid), int(h.user.Gid))
}

// Command is the function Command for the servers' user, in the folder.
func (h *Home) Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := Command(ctx, path, args...)
	cmd.Dir, cmd.SysProcAttr.Credential = h.Dir, h.user
	return cmd
}

func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no other user is needed
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// PostgresBin returns the folder of PostgreSQL's server programs, or "". Debian keeps it out of
// PATH, one for each version.
func PostgresBin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	return filepath.Dir(found[len(found)-1])
}
