package authn

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// followPatience is how long the feed may be quiet before it is asked anew;
	// it beats every second.
	followPatience = 3 * time.Second
	followRetry    = 200 * time.Millisecond
	// remember is how long a revocation is kept: longer than any access token
	// lives (10 min and the leeway).
	remember = 15 * time.Minute
)

// A Revocation is a session that was ended.
type Revocation struct {
	SessionID string
	Reason    string
	// At is when the feed got it, by the feed's clock.
	At time.Time
}

// A Follower knows which sessions were ended lately: it follows the revocation
// feed of the auth service, resumes where it was, and begins again whenever the
// feed goes quiet.
type Follower struct {
	url    string
	client *http.Client
	notify func(Revocation)

	revoked atomic.Pointer[map[string]revoked] // by session; replaced, never changed
	heard   atomic.Int64                       // Unix nanoseconds
	lastID  string
}

// revoked is what is kept of a Revocation.
type revoked struct {
	reason string
	at     time.Time
}

// NewFollower follows the feed at url until ctx ends. notify, which may be nil,
// is called for each revocation, after Revoked tells of it. A nil client means
// one that is good for streams.
func NewFollower(ctx context.Context, url string, client *http.Client, notify func(Revocation)) *Follower {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: followPatience, MaxResponseHeaderBytes: 16 << 10}}
	}
	if notify == nil {
		notify = func(Revocation) {}
	}
	f := &Follower{url: url, client: client, notify: notify}
	f.revoked.Store(&map[string]revoked{})
	f.heard.Store(time.Now().UnixNano())
	go f.run(ctx)
	return f
}

// Revoked reports whether the session was ended, as far as the feed has told, and why.
func (f *Follower) Revoked(sessionID string) (reason string, ok bool) {
	r, ok := (*f.revoked.Load())[sessionID]
	return r.reason, ok
}

// Silence is how long the feed has not been heard. More than some seconds say
// that revocations may be missing.
func (f *Follower) Silence() time.Duration {
	return time.Since(time.Unix(0, f.heard.Load()))
}

func (f *Follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		// How it ended does not matter: it is asked anew, and Silence tells.
		_ = f.follow(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(followRetry):
		}
	}
}

// follow reads one connection to its end.
func (f *Follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, http.NoBody)
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.lastID != "" {
		req.Header.Set("Last-Event-ID", f.lastID)
	}
	quiet := time.AfterFunc(followPatience, cancel)
	defer quiet.Stop()
	res, err := f.client.Do(req)
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return errors.New("follow: no event stream")
	}
	id := ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		quiet.Reset(followPatience)
		f.heard.Store(time.Now().UnixNano())
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			f.take(id, value)
		}
	}
	return nil
}

// take keeps a revocation. What is none is passed over: the next may be one.
func (f *Follower) take(id, data string) {
	var event struct {
		SessionID string `json:"sid"`
		Reason    string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(data), &event); err != nil || event.SessionID == "" {
		return
	}
	now := time.Now()
	known := maps.Clone(*f.revoked.Load())
	maps.DeleteFunc(known, func(_ string, r revoked) bool { return now.Sub(r.at) > remember })
	known[event.SessionID] = revoked{event.Reason, now}
	f.revoked.Store(&known)
	f.lastID = id
	f.notify(Revocation{event.SessionID, event.Reason, timeOf(id)})
}

// timeOf reads the time out of an event's id: milliseconds, a dash, a number.
func timeOf(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
