package clientauth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const maxAnswers = 4096

type digest = [sha256.Size]byte

// An answer is the API server's answer about a token.
type answer struct {
	account string
	until   time.Time // a positive answer needs no new review before then
	expires time.Time
}

// answers caches answers until they expire. The zero value is an empty cache.
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
		a.byToken = make(map[digest]answer) // rare; costs one review per token
	}
	a.byToken[sum] = said
}
