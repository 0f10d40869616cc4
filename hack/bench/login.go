package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/argon2"
)

// measureLogin compares logins per second with password hashes per second of all cores, which is
// the upper limit.
func measureLogin(ctx context.Context, l *lab, o options, auth service, sessions []*session, found *figures) error {
	var hashes, logins, ratios, costs []float64
	for round := range o.rounds {
		l.say("round %d: login, and the hash alone", round+1)
		begun, err := ownCPU()
		if err != nil {
			return err
		}
		hash := hashAlone()
		hashed, err := ownCPU()
		if err != nil {
			return err
		}
		before, err := cpu(auth.Process)
		if err != nil {
			return err
		}
		login, err := logIn(ctx, auth.address, l.cluster.token, sessions)
		if err != nil {
			return err
		}
		after, err := cpu(auth.Process)
		if err != nil {
			return err
		}
		hashes, logins, ratios = append(hashes, hash.perSecond()), append(logins, login.perSecond()), append(ratios, login.perSecond()/hash.perSecond())
		costs = append(costs, hash.micros(hashed-begun)/login.micros(after-before))
	}
	found.add("hash requests/s", 1, median(hashes))
	found.add("login requests/s", 1, median(logins))
	found.add("ratio login/hash", 2, median(ratios))
	found.add("ratio hash/login cpu", 2, median(costs))
	return nil
}

// ownCPU returns the CPU time that this process has used.
func ownCPU() (time.Duration, error) {
	var used syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), err
}

// loginSpan is short because of the rate limit: ten attempts per account in ten minutes.
const loginSpan = 2 * time.Second

// hashAlone hashes with the parameters of services/auth/internal/password.
func hashAlone() turn {
	var done atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range runtime.NumCPU() {
		all.Go(func() {
			for time.Since(begun) < loginSpan {
				argon2.IDKey([]byte("a password of usual length"), make([]byte, 16), 2, 19*1024, 1, 32)
				done.Add(1)
			}
		})
	}
	all.Wait()
	return turn{requests: int(done.Load()), took: time.Since(begun)}
}

func logIn(ctx context.Context, auth, assertion string, sessions []*session) (turn, error) {
	signers := 2 * runtime.NumCPU() // one hashes while the request of the other is sent
	faults := make([]error, signers)
	var done atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for w := range signers {
		all.Go(func() {
			c, err := dial(ctx, auth)
			if err != nil {
				faults[w] = err
				return
			}
			defer c.close()
			for i := w; time.Since(begun) < loginSpan && faults[w] == nil; i += signers {
				faults[w] = signIn(ctx, c, assertion, sessions[i%len(sessions)].account)
				done.Add(1)
			}
		})
	}
	all.Wait()
	return turn{requests: int(done.Load()), took: time.Since(begun)}, errors.Join(faults...)
}

func signIn(ctx context.Context, c *conn, assertion string, a account) error {
	body, err := json.Marshal(map[string]any{"email": a.email, "password": a.password, "presenter": a.presenter()})
	if err != nil {
		return err
	}
	said, err := c.do(ctx, request(http.MethodPost, "/v1/sessions", body, "Content-Type: application/json", "Authorization: Bearer "+assertion))
	if err != nil {
		return err
	}
	return said.want(http.StatusCreated, "a login")
}
