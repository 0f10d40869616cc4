package redis

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

// The stream is one key, apart from the families' slots. What goes with it is in the
// same slot, so that it is lost together with it.
const (
	streamKey = "revocations"
	leaseKey  = "lease:{revocations}"
	// completeKey holds the epoch in which the stream was completed last.
	completeKey = "complete:{revocations}"
)

var (
	//go:embed publish.lua
	publishLua string
	//go:embed lead.lua
	leadLua string
)

// readBlock is how long a read waits for an entry; that it comes back empty
// says that Redis is there.
const readBlock = time.Second

// Stream is a session.Stream in a Redis stream, and the reading end of it.
type Stream struct {
	client        redis.UniversalClient
	keep          time.Duration
	epoch         func() session.Epoch // nil for the server's own
	publish, lead *redis.Script
}

var _ session.Stream = (*Stream)(nil)

// NewStream returns the revocation stream in client. Entries are kept for keep,
// the life of an access token and some: later there is nothing left to refuse.
func NewStream(client redis.UniversalClient, keep time.Duration) *Stream {
	return &Stream{
		client: client, keep: keep,
		publish: redis.NewScript(serverLua + publishLua), lead: redis.NewScript(serverLua + leadLua),
	}
}

// WithEpoch is Families.WithEpoch.
func (s *Stream) WithEpoch(epoch func() session.Epoch) *Stream {
	c := *s
	c.epoch = epoch
	return &c
}

// Publish implements session.Stream.
func (s *Stream) Publish(ctx context.Context, all []session.Revocation) error {
	if len(all) == 0 {
		return nil
	}
	args := []any{"", s.keep.Milliseconds()}
	for _, r := range all {
		args = append(args, string(r.Family), string(r.Reason))
	}
	if err := s.publish.Run(ctx, s.client, []string{streamKey}, args...).Err(); err != nil {
		return unavailable("publish", err)
	}
	return nil
}

// Lead implements session.Stream.
func (s *Stream) Lead(ctx context.Context, replica string, life time.Duration) (session.Lead, error) {
	answer, err := s.lead.Run(ctx, s.client, []string{leaseKey, completeKey}, replica, life.Milliseconds(), given(s.epoch)).Slice()
	if err != nil {
		return session.Lead{}, unavailable("lead", err)
	}
	switch leader, _ := answer[0].(int64); {
	case leader == 0 && len(answer) == 1:
		return session.Lead{}, nil
	case leader == 1 && len(answer) == 2:
		epoch, _ := answer[1].(string)
		return session.Lead{Leader: true, Since: time.Now().Add(-s.keep), Incomplete: session.Epoch(epoch)}, nil
	}
	return session.Lead{}, unavailable("lead", errNonsense)
}

// Complete implements session.Stream.
func (s *Stream) Complete(ctx context.Context, epoch session.Epoch) error {
	if err := s.client.Set(ctx, completeKey, string(epoch), 0).Err(); err != nil {
		return unavailable("complete", err)
	}
	return nil
}

// last is the newest mark that there ever was, 0 for none.
func (s *Stream) last(ctx context.Context) (mark, error) {
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

// A mark is a place in the stream. Marks grow with time.
type mark int64

// perMilli is how many marks a millisecond has room for.
const perMilli = 1_000_000

// parseMark makes one number of a stream id: milliseconds and sequence.
func parseMark(id string) (mark, error) {
	ms, seq, _ := strings.Cut(id, "-")
	m, err1 := strconv.ParseInt(ms, 10, 64)
	n, err2 := strconv.ParseInt(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, unavailable("stream id", errNonsense)
	}
	return mark(m*perMilli + min(n, perMilli-1)), nil
}
