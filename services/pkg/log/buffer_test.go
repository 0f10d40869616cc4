package log_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/pkg/log"
)

// writes records each call of Write.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func (w *writes) want(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := fmt.Sprintf("%q", w.all); got != fmt.Sprintf("%q", want) {
		t.Errorf("writes are %s, want %q", got, want)
	}
}

func TestLinesOfATenthOfASecondAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writes
		b := log.NewBuffer(&out)
		for _, line := range []string{"a\n", "b\n"} {
			_, _ = b.Write([]byte(line))
			time.Sleep(40 * time.Millisecond)
		}
		out.want(t)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		out.want(t, "a\nb\n")
		_, _ = b.Write([]byte("c\n"))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		out.want(t, "a\nb\n", "c\n")
	})
}

func TestAnUnbufferedLineComesAfterTheLinesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writes
		b := log.NewBuffer(&out)
		_, _ = b.Write([]byte("a\n"))
		_, _ = b.Unbuffered().Write([]byte("now\n"))
		out.want(t, "a\n", "now\n")
	})
}

func TestABufferHoldsABoundedNumberOfBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writes
		b := log.NewBuffer(&out)
		line := strings.Repeat("x", 1023) + "\n"
		for range 100 {
			_, _ = b.Write([]byte(line))
		}
		b.Flush()
		total := 0
		for _, w := range out.all {
			if total += len(w); len(w) > 33<<10 {
				t.Errorf("a write of %d bytes, want at most 33 KiB", len(w))
			}
		}
		if total != 100<<10 {
			t.Errorf("%d bytes were written, want 100 KiB", total)
		}
	})
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	var out bytes.Buffer
	b := log.NewBuffer(&out)
	var all sync.WaitGroup
	for _, w := range []io.Writer{b, b, b.Unbuffered()} {
		all.Go(func() {
			for range 1000 {
				_, _ = w.Write([]byte("abcdefghij\n"))
			}
		})
	}
	all.Wait()
	b.Flush()
	if got := out.String(); got != strings.Repeat("abcdefghij\n", 3000) {
		t.Errorf("%d bytes came out, want 3000 whole lines", len(got))
	}
}
