// Package revocation follows the revocation feed of the auth service, so that a program knows which
// sessions ended recently.
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

// Remember is the minimum time for which a revocation is kept.
const Remember = 15 * time.Minute

const (
	// patience is how long the feed may be silent before the follower reconnects. The feed sends a
	// line every second.
	patience   = 3 * time.Second
	retryAfter = 200 * time.Millisecond
)

// An Event is a session that was ended.
type Event struct {
	SessionID string
	Reason    string
	// At is when the feed received the event, by the feed's clock.
	At time.Time
}

// A Follower knows which sessions ended recently. It follows the revocation feed of the auth
// service, resumes after the last event that it read, and reconnects when the feed goes silent.
type Follower struct {
	url    string
	client *http.Client
	notify func(Event)

	heard  atomic.Int64 // Unix nanoseconds
	lastID string

	mu sync.RWMutex
	// Reasons by session, in two maps: when newer is as old as Remember, it becomes older and the
	// previous older is dropped. So the cost of a revocation does not depend on how many are known,
	// and a burst of revocations leaves no map of its size behind.
	newer, older map[string]string
	since        time.Time // when newer began
}

// NewFollower follows the feed at url until ctx ends. It calls notify, unless that is nil, for each
// revocation, after Revoked reports it. If client is nil, it uses one that suits streams.
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

// Revoked implements authn.Revocations, with the events read so far.
func (f *Follower) Revoked(sessionID string) (reason string, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if reason, ok = f.newer[sessionID]; !ok {
		reason, ok = f.older[sessionID]
	}
	return reason, ok
}

// Silence returns how long ago the feed sent its last line. After more than a few seconds,
// revocations may be missing.
func (f *Follower) Silence() time.Duration {
	return time.Since(time.Unix(0, f.heard.Load()))
}

func (f *Follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		// Reconnect after any error. Silence shows for how long that has failed.
		_ = f.follow(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// follow reads the feed until its connection ends.
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

// take stores the revocation of an event and calls notify. Malformed events are skipped.
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

// timeOf returns the time in an event's ID, which is Unix milliseconds, a dash and a sequence
// number, or the zero time for any other ID.
func timeOf(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
