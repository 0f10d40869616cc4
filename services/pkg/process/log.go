package process

import (
	"strings"
	"sync"
)

// Log keeps the end, 1 MiB, of what is written to it.
type Log struct {
	mu   sync.Mutex
	text []byte
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	const limit = 1 << 20
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - limit; extra > 0 {
		l.text = l.text[extra:]
	}
	return len(p), nil
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Problems returns the last ten lines and, of those before, the last thirty that are not of level
// INFO.
func (l *Log) Problems() string {
	const tail, most = 10, 40
	lines := strings.SplitAfter(strings.TrimSuffix(l.String(), "\n"), "\n")
	var kept []string
	for i, line := range lines {
		if i >= len(lines)-tail || !strings.Contains(line, " level=INFO ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-most):], "")
}
