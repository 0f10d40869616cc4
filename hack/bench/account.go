package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// session is a session as its client knows it.
type session struct {
	id      string
	refresh string // the current refresh token
	account
}

// account is a user and the address from which they sign in.
type account struct{ email, password, address string }

func (a account) presenter() map[string]string {
	return map[string]string{"user_agent": userAgent, "client_address": a.address}
}

// hashing is the number of concurrent registrations; more would only wait for each other.
const hashing = 4

// register registers n users, from different addresses because of rate limits, and returns their
// sessions.
func (l *lab) register(ctx context.Context, auth string, n int) ([]*session, error) {
	sessions, faults := make([]*session, n), make([]error, hashing)
	var all sync.WaitGroup
	for worker := range hashing {
		all.Go(func() {
			for i := worker; i < n && faults[worker] == nil; i += hashing {
				sessions[i], faults[worker] = signUp(ctx, auth, l.cluster.token, i)
			}
		})
	}
	all.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
	}
	return sessions, nil
}

func signUp(ctx context.Context, auth, assertion string, i int) (*session, error) {
	a := account{fmt.Sprintf("frog-%d@bench.example", i), rand.Text(), fmt.Sprintf("198.18.%d.1", i%256)}
	body, err := json.Marshal(map[string]any{"email": a.email, "name": "Frog", "password": a.password, "presenter": a.presenter()})
	if err != nil {
		return nil, err
	}
	said, err := once(ctx, auth, request(http.MethodPost, "/v1/users", body,
		"Content-Type: application/json", "Authorization: Bearer "+assertion), http.StatusCreated)
	if err != nil {
		return nil, err
	}
	var begun struct{ Token answer }
	if err := json.Unmarshal(said.body, &begun); err != nil {
		return nil, err
	}
	return &session{id: begun.Token.SID, refresh: begun.Token.RefreshToken, account: a}, nil
}

// userAgent is that of a browser.
const userAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
