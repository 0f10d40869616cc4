package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// steps returns the checks that must succeed, in order, before everything is ready. The user's own
// app is not among them: it may start later.
func (p plan) steps(commands []spec, guest user) []func(context.Context) error {
	v := visit{door: local(p.sidecar), guest: guest}
	steps := []func(context.Context) error{func(ctx context.Context) error { return answer(ctx, commands) }}
	if !p.sample() {
		return append(steps, v.signIn, v.signOut)
	}
	return append(steps, v.arrive, v.signIn, v.look, v.signOut)
}

// answer checks that all programs are ready.
func answer(ctx context.Context, commands []spec) error {
	for _, c := range commands {
		if _, err := call(ctx, http.MethodGet, c.ready, nil, "", http.StatusOK); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// visit makes the requests of a browser: it signs in, gets the frogs and signs out. A step that was
// answered is not repeated: logins are rate-limited.
type visit struct {
	door   string
	guest  user
	cookie string
}

func (v *visit) arrive(ctx context.Context) error {
	_, err := call(ctx, http.MethodGet, v.door+"/", nil, "", http.StatusOK)
	return err
}

func (v *visit) signIn(ctx context.Context) error {
	login, err := json.Marshal(map[string]string{"email": v.guest.Email, "password": v.guest.Password})
	if err != nil {
		return err
	}
	v.cookie, err = call(ctx, http.MethodPost, v.door+"/auth/login", login, "", http.StatusOK)
	return err
}

func (v *visit) look(ctx context.Context) error {
	_, err := call(ctx, http.MethodGet, v.door+"/api/frogs", nil, v.cookie, http.StatusOK)
	return err
}

func (v *visit) signOut(ctx context.Context) error {
	_, err := call(ctx, http.MethodPost, v.door+"/auth/logout", []byte("{}"), v.cookie, http.StatusNoContent)
	return err
}

// errNotYet means that a program does not listen yet, or has not reached another one.
var errNotYet = errors.New("standalone: not yet")

// call makes a request like a script of a page, with an optional JSON body and cookie, and returns
// the response's cookies.
func call(ctx context.Context, method, url string, body []byte, cookie string, want int) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	client := &http.Client{
		Timeout:       5 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotYet, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotYet, err)
	}
	if resp.StatusCode != want {
		err := fmt.Errorf("%s %s answers %s, want %d: %s", method, url, resp.Status, want, strings.TrimSpace(string(said)))
		if resp.StatusCode >= http.StatusInternalServerError {
			err = fmt.Errorf("%w: %w", errNotYet, err)
		}
		return "", err
	}
	var pairs []string
	for _, c := range resp.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; "), nil
}
