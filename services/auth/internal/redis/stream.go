package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

// streamKey is one key for all revocations, apart from the families' slots.
const streamKey = "revocations"

// windowSize bounds what is compared each second.
const windowSize = 10_000

// readBlock is how long a read waits for an entry; that it comes back empty
// says that Redis is there.
const readBlock = time.Second

// Stream is a session.Stream in a Redis stream, and the reading end of it.
type Stream struct {
	client redis.UniversalClient
	keep   time.Duration
}

var _ session.Stream = (*Stream)(nil)

// NewStream returns the revocation stream in client. Entries are kept for keep,
// the life of an access token and some: later there is nothing left to refuse.
func NewStream(client redis.UniversalClient, keep time.Duration) *Stream {
	return &Stream{client: client, keep: keep}
}

// Publish implements session.Stream.
func (s *Stream) Publish(ctx context.Context, r session.Revocation) (session.Mark, error) {
	id, err := s.client.XAdd(ctx, &redis.XAddArgs{
		Stream: streamKey, MinID: millis(time.Now().Add(-s.keep)), Approx: true,
		Values: []string{"sid", string(r.Family), "reason", string(r.Reason)},
	}).Result()
	if err != nil {
		return 0, unavailable("publish", err)
	}
	return parseMark(id)
}

// Window implements session.Stream.
func (s *Stream) Window(ctx context.Context) (session.Window, error) {
	last, err := s.last(ctx)
	if last == 0 || err != nil {
		return session.Window{}, err
	}
	// Trimming is approximate: what is older than keep may be there or not.
	from := time.Now().Add(-s.keep)
	entries, err := s.client.XRevRangeN(ctx, streamKey, "+", millis(from), windowSize).Result()
	if err != nil {
		return session.Window{}, unavailable("window of stream", err)
	}
	w := session.Window{Last: last, Since: session.Mark(from.UnixMilli() * perMilli)}
	for _, e := range entries {
		sid, _ := e.Values["sid"].(string)
		w.Present = append(w.Present, session.FamilyID(sid))
	}
	if len(entries) == windowSize {
		w.Since, err = parseMark(entries[windowSize-1].ID)
	}
	return w, err
}

// last is the newest mark that there ever was, 0 for none.
func (s *Stream) last(ctx context.Context) (session.Mark, error) {
	info, err := s.client.XInfoStream(ctx, streamKey).Result()
	if err != nil {
		if strings.Contains(err.Error(), "no such key") {
			return 0, nil
		}
		return 0, unavailable("end of stream", err)
	}
	return parseMark(info.LastGeneratedID)
}

// errWentBack says that the stream has never come as far as its reader has: it
// is another one.
var errWentBack = errors.New("the stream went back: it ends before what was read of it")

// Read returns the entries behind after ("0" for all that are kept), waiting a
// second for the first. No entries and no error say that there are none yet.
//
// A stream that ends before after is an error: a primary has taken over that
// lacks its end, perhaps with a slower clock, and whatever it adds would stay
// below after unseen. The client library connects anew by itself, so that
// nothing else tells of such a change.
func (s *Stream) Read(ctx context.Context, after string) ([]session.Entry, error) {
	if after != "0" {
		read, err1 := parseMark(after)
		last, err2 := s.last(ctx)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if last < read {
			return nil, unavailable("read stream", errWentBack)
		}
	}
	got, err := s.client.XRead(ctx, &redis.XReadArgs{Streams: []string{streamKey, after}, Block: readBlock, Count: 1000}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("read stream", err)
	}
	var all []session.Entry
	for _, stream := range got {
		for _, m := range stream.Messages {
			sid, _ := m.Values["sid"].(string)
			reason, _ := m.Values["reason"].(string)
			family, err := session.ParseFamilyID(sid)
			if err != nil {
				return nil, unavailable("read stream", errNonsense)
			}
			all = append(all, session.Entry{ID: m.ID, Revocation: session.Revocation{Family: family, Reason: session.Reason(reason)}})
		}
	}
	return all, nil
}

// perMilli is how many marks a millisecond has room for.
const perMilli = 1_000_000

// parseMark makes one number of a stream id: milliseconds and sequence.
func parseMark(id string) (session.Mark, error) {
	ms, seq, _ := strings.Cut(id, "-")
	m, err1 := strconv.ParseInt(ms, 10, 64)
	n, err2 := strconv.ParseInt(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, unavailable("stream id", errNonsense)
	}
	return session.Mark(m*perMilli + min(n, perMilli-1)), nil
}
