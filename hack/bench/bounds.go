package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// cached is the default size of the sidecar's session cache.
	cached = 10_000
	// streamed is the number of bytes sent in each direction.
	streamed = 1 << 30
)

// measureBounds measures the memory of a sidecar, and the cost of rejecting forged cookies.
func measureBounds(ctx context.Context, l *lab, o options, found *figures) error {
	at, closeStand, err := standIn(ctx)
	if err != nil {
		return err
	}
	defer closeStand()
	side, err := l.startSidecar(ctx, "sidecar-bounds", at, at, true)
	if err != nil {
		return err
	}
	l.say("%d sessions", cached)
	if err := fill(ctx, side.address); err != nil {
		return err
	}
	if err := addPeak(side, fmt.Sprintf("sidecar memory %d sessions mb", cached), found); err != nil {
		return err
	}
	l.say("1 GiB up and down")
	if err := forgetPeak(side.Process); err != nil {
		return err
	}
	if err := stream(ctx, side.address); err != nil {
		return err
	}
	if err := addPeak(side, "sidecar memory 1 GiB mb", found); err != nil {
		return err
	}
	return measureForged(ctx, l, o, side.server, found)
}

func addPeak(s service, name string, found *figures) error {
	bytes, err := peak(s.Process)
	if err != nil {
		return err
	}
	found.add(name, 1, float64(bytes)/1e6)
	return nil
}

// standIn is a stub of the auth service and of an app. The auth service accepts every refresh token
// except those of forgedFamily; the app accepts and returns any number of bytes.
func standIn(ctx context.Context) (at string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", standInToken)
	mux.HandleFunc("GET /v1/revocations", standInFeed)
	mux.HandleFunc("POST /v1/sessions/confirm", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /down", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(streamed))
		_, _ = io.CopyN(w, zeros{}, streamed)
	})
	mux.HandleFunc("POST /up", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

// patience is a timeout that is reached only after an error.
const patience = time.Minute

// forgedFamily is the session ID that the stub of the auth service does not know.
const forgedFamily = "forged0000000000000000"

func standInToken(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("refresh_token")
	family := strings.Split(token+"..", ".")[2]
	w.Header().Set("Content-Type", "application/json")
	if family == "" || family == forgedFamily {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	_ = json.NewEncoder(w).Encode(answer{ //nolint:gosec // not a valid token
		AccessToken: bearer, TokenType: "Bearer", ExpiresIn: 3600, RefreshToken: token, SID: family, Roles: []string{}, ExpiresAt: time.Now().Add(time.Hour),
	})
}

func standInFeed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for r.Context().Err() == nil {
		_, _ = w.Write([]byte(": beat\n\n"))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
	}
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// stranger returns a session of a family.
func stranger(family string) *session {
	return &session{refresh: "v1.k1." + family + ".1." + strings.Repeat("m", 43)}
}

// fill sends a request with each of n sessions.
func fill(ctx context.Context, sidecar string) error {
	faults := make(chan error, connections)
	var all sync.WaitGroup
	for worker := range connections {
		all.Go(func() {
			c, err := dial(ctx, sidecar)
			if err != nil {
				faults <- err
				return
			}
			defer c.close()
			for i := worker; i < cached; i += connections {
				said, err := c.do(ctx, request(http.MethodGet, "/", nil, pageHeader(stranger(fmt.Sprintf("family%016d", i)))...))
				if err == nil {
					err = said.want(http.StatusOK, "the sidecar")
				}
				if err != nil {
					faults <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(faults)
	return <-faults
}

// stream uploads and downloads bytes through the sidecar.
func stream(ctx context.Context, sidecar string) error {
	up, err := exchange(ctx, http.MethodPost, "http://"+sidecar+"/up", io.LimitReader(zeros{}, streamed))
	if err != nil {
		return err
	}
	defer up.Close()
	if taken, err := io.ReadAll(io.LimitReader(up, 100)); err != nil || string(taken) != fmt.Sprint(streamed) {
		return fmt.Errorf("upload: %s bytes arrived: %w", taken, err)
	}
	down, err := exchange(ctx, http.MethodGet, "http://"+sidecar+"/down", http.NoBody)
	if err != nil {
		return err
	}
	defer down.Close()
	if n, err := io.Copy(io.Discard, down); err != nil || n != streamed {
		return fmt.Errorf("download: %d bytes arrived: %w", n, err)
	}
	return nil
}

// exchange sends a request of a signed-in user and returns the body of the response.
func exchange(ctx context.Context, method, url string, body io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Cookie", cookieName+"="+stranger("stream0000000000000000").refresh)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s answers %d, want 200", url, res.StatusCode)
	}
	return res.Body, nil
}

// measureForged compares the rejection of requests without a cookie with that of requests with a
// forged one.
func measureForged(ctx context.Context, l *lab, o options, side *server, found *figures) error {
	forged := pageHeader(stranger(forgedFamily))
	anonymous := forged[:len(forged)-1] // the cookie comes last
	ratios := make([]float64, o.rounds)
	for i := range ratios {
		l.say("round %d: refusals", i+1)
		var micros [2]float64
		for j, header := range [][]string{anonymous, forged} {
			done, err := wrk(ctx, side, header, o.span())
			if err != nil {
				return err
			}
			if done.refused < done.requests {
				return fmt.Errorf("%d of %d requests were served, want none", done.requests-done.refused, done.requests)
			}
			micros[j] = done.micros
		}
		ratios[i] = micros[1] / micros[0]
	}
	found.add("ratio forged/anonymous cpu", 2, median(ratios))
	return nil
}
