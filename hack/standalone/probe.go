package main

import (
	"bytes"
	"context"
	"encoding/json"
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
			return fmt.Errorf("%s is not ready: %w", program.name, err)
		}
	}
	_, err := call(ctx, http.MethodGet, local(p.sidecar)+"/", nil, "", http.StatusOK)
	return err
}

// visit goes the whole way once, as a browser would: it signs in, looks at the
// frogs and signs out. Once, for a second login is a guess at a password.
func (p plan) visit(ctx context.Context, guest user) error {
	door := local(p.sidecar)
	login, err := json.Marshal(map[string]string{"email": guest.Email, "password": guest.Password})
	if err != nil {
		return err
	}
	cookie, err := call(ctx, http.MethodPost, door+"/auth/login", login, "", http.StatusOK)
	if err != nil {
		return err
	}
	if _, err := call(ctx, http.MethodGet, door+"/api/frogs", nil, cookie, http.StatusOK); err != nil {
		return err
	}
	_, err = call(ctx, http.MethodPost, door+"/auth/logout", []byte("{}"), cookie, http.StatusNoContent)
	return err
}

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
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return "", fmt.Errorf("%s %s answers %s, not %d: %s", method, url, resp.Status, want, strings.TrimSpace(string(said)))
	}
	var pairs []string
	for _, c := range resp.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; "), nil
}
