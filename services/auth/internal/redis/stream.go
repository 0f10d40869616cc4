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

// Keys of the stream. They share a slot, so that a failover cannot lose one of them alone.
const (
	streamKey = "revocations"
	leaseKey  = "lease:{revocations}"
	// completeKey holds the epoch in which the stream was last completed.
	completeKey = "complete:{revocations}"
)

var (
	//go:embed publish.lua
	publishLua string
	//go:embed lead.lua
	leadLua string
)

// readBlock is how long a read waits for an entry. An empty answer shows that Redis is available.
const readBlock = time.Second

// Stream is a session.Stream in a Redis stream. It also reads that stream.
type Stream struct {
	client        redis.UniversalClient
	keep          time.Duration
	epoch         func() session.Epoch // nil for the server's own
	publish, lead *redis.Script
}

var _ session.Stream = (*Stream)(nil)

// NewStream returns the revocation stream in client. It keeps entries for keep, which must exceed
// the life of an access token: after that all tokens of an ended session have expired.
func NewStream(client redis.UniversalClient, keep time.Duration) *Stream {
	return &Stream{
		client: client, keep: keep,
		publish: redis.NewScript(serverLua + publishLua), lead: redis.NewScript(serverLua + leadLua),
	}
}

// WithEpoch returns a Stream that takes the epoch from epoch: see Families.WithEpoch.
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

// last returns the mark of the newest entry that was ever added, or 0 if there was none.
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

// errWentBack means that the stream ends before what its reader has read: a failover lost entries.
var errWentBack = errors.New("the stream went back: it ends before what was read of it")

// Read returns the entries after the ID after ("0" for all that are kept). It waits up to a second
// for the first one and returns none if there is none.
//
// If the stream ends before after, Read fails: after a failover the new primary lacks the last
// entries, and if its clock is slower, the IDs of new ones may be smaller than after, so that they
// would be missed. The client library reconnects by itself, so nothing else reports the failover.
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

// A mark is a stream ID as one number. Marks increase with IDs.
type mark int64

// perMilli is the number of marks per millisecond.
const perMilli = 1_000_000

// parseMark converts a stream ID, <milliseconds>-<sequence>, to a mark.
func parseMark(id string) (mark, error) {
	ms, seq, _ := strings.Cut(id, "-")
	m, err1 := strconv.ParseInt(ms, 10, 64)
	n, err2 := strconv.ParseInt(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, unavailable("stream id", errNonsense)
	}
	return mark(m*perMilli + min(n, perMilli-1)), nil
}
