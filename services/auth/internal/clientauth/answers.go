package clientauth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const maxAnswers = 4096

type digest = [sha256.Size]byte

// An answer is what the API server said of a token.
type answer struct {
	account string
	until   time.Time // a yes holds until then without another question
	expires time.Time
}

// answers remembers answers until they expire. The zero value is empty and ready.
type answers struct {
	mu      sync.Mutex
	byToken map[digest]answer
}

func (a *answers) get(sum digest) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.byToken[sum]
	return found, ok && time.Now().Before(found.expires)
}

func (a *answers) put(sum digest, said answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byToken == nil || len(a.byToken) >= maxAnswers {
		a.byToken = make(map[digest]answer) // rare, and costs each token one review
	}
	a.byToken[sum] = said
}
