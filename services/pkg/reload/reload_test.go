package reload_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/pkg/reload"
)

func parse(text []byte) (string, error) {
	if strings.HasPrefix(string(text), "bad") {
		return "", errors.New("it is bad")
	}
	return string(text), nil
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFileMustBeGoodAtFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := reload.Open(path, parse); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: error %v, want os.ErrNotExist", err)
	}
	write(t, path, "bad")
	if _, err := reload.Open(path, parse); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "it is bad") {
		t.Errorf("invalid file: error %v, want one with the path and the reason", err)
	}
}

func TestEachChangeIsToldOnceAndABadOneChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	synctest.Test(t, func(t *testing.T) {
		f, err := reload.Open(path, parse)
		if err != nil {
			t.Fatal(err)
		}
		changes := make(chan error, 10)
		go f.Watch(t.Context(), func(err error) { changes <- err })
		for _, step := range []struct {
			name    string
			do      func()
			current string
			told    int
			bad     bool
		}{
			{"nothing", func() {}, "one", 0, false},
			{"a change", func() { write(t, path, "two") }, "two", 1, false},
			{"a bad one", func() { write(t, path, "bad") }, "two", 1, true},
			{"another bad one", func() { write(t, path, "bad too") }, "two", 1, true},
			{"what was before", func() { write(t, path, "two") }, "two", 1, false},
			{"gone", func() { _ = os.Remove(path) }, "two", 1, true},
			{"back", func() { write(t, path, "two") }, "two", 1, false},
			{"empty", func() { write(t, path, "") }, "", 1, false},
			{"gone while it was empty", func() { _ = os.Remove(path) }, "", 1, true},
		} {
			step.do()
			time.Sleep(time.Minute) // the bubble's clock
			synctest.Wait()
			if f.Current() != step.current || len(changes) != step.told {
				t.Errorf("%s: current %q, %d calls of changed, want %q and %d", step.name, f.Current(), len(changes), step.current, step.told)
			}
			for range len(changes) {
				if err := <-changes; (err != nil) != step.bad {
					t.Errorf("%s: changed was called with %v, want an error: %t", step.name, err, step.bad)
				}
			}
		}
	})
}

// TestAMountedVolumeIsFollowedThroughItsLink updates a volume as the kubelet does: it creates a new
// directory next to the old one and swaps a link.
func TestAMountedVolumeIsFollowedThroughItsLink(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "file"), version)
	}
	link := func(version string) {
		if err := errors.Join(os.Symlink(version, filepath.Join(dir, "..data.new")), os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	if err := os.Symlink("..data/file", filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f, err := reload.Open(filepath.Join(dir, "file"), parse)
		if err != nil {
			t.Fatal(err)
		}
		go f.Watch(t.Context(), func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		link("two")
		time.Sleep(time.Minute) // the bubble's clock
		synctest.Wait()
		if f.Current() != "two" {
			t.Errorf("current %q, want two", f.Current())
		}
	})
}

// TestAHalfWrittenFileNeverCounts writes a file in place and in parts, each of which may be valid.
func TestAHalfWrittenFileNeverCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "all of the old")
	synctest.Test(t, func(t *testing.T) {
		f, err := reload.Open(path, parse)
		if err != nil {
			t.Fatal(err)
		}
		changes := make(chan string, 10)
		go f.Watch(t.Context(), func(error) { changes <- f.Current() })
		for step, content := range []string{"", "all", "all of", "all of the", "bad", "all of the new"} {
			write(t, path, content)
			time.Sleep(7 * time.Second) // the bubble's clock: the file is read several times, but has not settled
			synctest.Wait()
			if f.Current() != "all of the old" || len(changes) != 0 {
				t.Fatalf("step %d: current %q, %d calls of changed, want the old file and none", step, f.Current(), len(changes))
			}
		}
		time.Sleep(10 * time.Second) // the bubble's clock
		synctest.Wait()
		if len(changes) != 1 || <-changes != "all of the new" {
			t.Errorf("current %q, %d unread calls of changed, want one call with the complete file", f.Current(), len(changes))
		}
	})
}

// TestAnUnchangedFileIsReadAgain checks Read, which tells a caller whether it may have missed a
// change.
func TestAnUnchangedFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	synctest.Test(t, func(t *testing.T) {
		f, err := reload.Open(path, parse)
		if err != nil {
			t.Fatal(err)
		}
		opened := f.Read()
		go f.Watch(t.Context(), func(err error) { t.Errorf("changed was called with %v, want no call", err) })
		time.Sleep(10 * time.Second) // the bubble's clock
		synctest.Wait()
		if read := f.Read(); read.Sub(opened) < 5*time.Second {
			t.Errorf("read %s after it was opened, want about ten seconds", read.Sub(opened))
		}
	})
}
