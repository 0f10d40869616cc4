// Package revocation follows the revocation feed of the auth service, so that a
// program knows which sessions ended lately.
package revocation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Remember is how long a revocation is kept at least.
const Remember = 15 * time.Minute

const (
	// patience is how long the feed may be quiet before the follower reconnects.
	// The feed sends a line every second.
	patience   = 3 * time.Second
	retryAfter = 200 * time.Millisecond
)

// An Event is a session that was ended.
type Event struct {
	SessionID string
	Reason    string
	// At is when the feed got it, by the feed's clock.
	At time.Time
}

// A Follower knows which sessions ended lately. It follows the revocation feed
// of the auth service, resumes after the last event that it read, and
// reconnects when the feed goes quiet.
type Follower struct {
	url    string
	client *http.Client
	notify func(Event)

	heard  atomic.Int64 // Unix nanoseconds
	lastID string

	mu sync.RWMutex
	// Reasons by session, in two generations: when the newer one is as old as
	// Remember, the older one is dropped whole. So adding and forgetting cost the
	// same however many are known, and a burst of revocations leaves no map of
	// its size behind.
	newer, older map[string]string
	since        time.Time // when newer began
}

// NewFollower follows the feed at url until ctx ends. notify, which may be nil,
// is called for each revocation, once Revoked knows it. A nil client means one
// that suits streams.
func NewFollower(ctx context.Context, url string, client *http.Client, notify func(Event)) *Follower {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: patience, MaxResponseHeaderBytes: 16 << 10}}
	}
	if notify == nil {
		notify = func(Event) {}
	}
	f := &Follower{url: url, client: client, notify: notify, newer: make(map[string]string), since: time.Now()}
	f.heard.Store(time.Now().UnixNano())
	go f.run(ctx)
	return f
}

// Revoked implements authn.Revocations, as far as the feed has told.
func (f *Follower) Revoked(sessionID string) (reason string, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if reason, ok = f.newer[sessionID]; !ok {
		reason, ok = f.older[sessionID]
	}
	return reason, ok
}

// Silence is how long ago the feed was heard. After more than a few seconds,
// revocations may be missing.
func (f *Follower) Silence() time.Duration {
	return time.Since(time.Unix(0, f.heard.Load()))
}

func (f *Follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		// Whatever ended the connection, the answer is a new one. Silence reports
		// how long that has not helped.
		_ = f.follow(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
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
	quiet := time.AfterFunc(patience, cancel)
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
		quiet.Reset(patience)
		now := time.Now()
		f.heard.Store(now.UnixNano())
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(field) {
		case "id":
			id = string(value)
		case "data":
			f.take(id, value, now)
		}
	}
	return nil
}

// take keeps the revocation in an event's data. Malformed events are skipped.
func (f *Follower) take(id string, data []byte, now time.Time) {
	var event struct {
		SessionID string `json:"sid"`
		Reason    string `json:"reason"`
	}
	if err := json.Unmarshal(data, &event); err != nil || event.SessionID == "" {
		return
	}
	f.keep(event.SessionID, event.Reason, now)
	f.lastID = id
	f.notify(Event{event.SessionID, event.Reason, timeOf(id)})
}

func (f *Follower) keep(sessionID, reason string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) > Remember {
		f.newer, f.older, f.since = make(map[string]string), f.newer, now
	}
	f.newer[sessionID] = reason
}

// timeOf reads the time in an event's id: Unix milliseconds, a dash, a sequence
// number. It returns the zero time for any other id.
func timeOf(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
