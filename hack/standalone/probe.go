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

// answers says what does not answer yet.
func (p plan) answers(ctx context.Context) error {
	for _, program := range []struct {
		name string
		ops  int
	}{{"auth", p.authOps}, {"frogs", p.frogsOps}, {"frontend", p.frontendOps}, {"sidecar", p.sidecarOps}} {
		if _, err := call(ctx, http.MethodGet, local(program.ops)+"/readyz", nil, "", http.StatusOK); err != nil {
			return fmt.Errorf("%s: %w", program.name, err)
		}
	}
	_, err := call(ctx, http.MethodGet, local(p.sidecar)+"/", nil, "", http.StatusOK)
	return err
}

// A visit goes the whole way once, as a browser would: it signs in, looks at
// the frogs and signs out. A step that was answered is not done again: a second
// login would count as a guess at a password.
type visit struct {
	door   string
	guest  user
	cookie string
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

// errNotYet says that a program does not listen yet, or has not found another one.
var errNotYet = errors.New("standalone: not yet")

// call makes one request as a script does, with a JSON body and a cookie where there is one, and returns the cookie of the answer.
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
		err := fmt.Errorf("%s %s answers %s, not %d: %s", method, url, resp.Status, want, strings.TrimSpace(string(said)))
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
