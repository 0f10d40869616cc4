package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// A Holding is what Redis has of a family, for a person to look at.
type Holding struct {
	// Family without what is kept as a digest only: its client and who rotated it.
	session.Family

	// Reason is why it was ended. Of one that was ended while it was not here
	// nothing else is known: Generation is 0.
	Reason session.Reason
	// Expires is when Redis forgets it unless it is used.
	Expires time.Time
}

// Inspect returns what Redis holds of a family, and changes nothing. It fails
// with session.ErrNotFound or session.ErrUnavailable.
func (f *Families) Inspect(ctx context.Context, family session.FamilyID) (Holding, error) {
	pipe := f.client.Pipeline()
	held, left := pipe.HGetAll(ctx, key(family)), pipe.PTTL(ctx, key(family))
	if _, err := pipe.Exec(ctx); err != nil {
		return Holding{}, unavailable("inspect", err)
	}
	v := held.Val()
	if len(v) == 0 {
		return Holding{}, session.ErrNotFound
	}
	h := Holding{Reason: session.Reason(v["r"]), Expires: time.Now().Add(left.Val())}
	h.Revoked = h.Reason != ""
	if v["G"] == "" {
		return h, nil
	}
	generation, err1 := strconv.ParseUint(v["G"], 10, 64)
	rotated, err2 := strconv.ParseInt(v["T"], 10, 64)
	end, err3 := strconv.ParseInt(v["E"], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return Holding{}, unavailable("inspect", errNonsense)
	}
	h.Generation, h.KeyID, h.End = generation, v["K"], time.UnixMilli(end)
	if rotated > 0 { // 0 is a family that was brought back from its record
		h.Rotated = time.UnixMilli(rotated)
	}
	h.Confirmed, h.PardonedBefore, h.Pardoned = strings.Contains(v["F"], "c"), strings.Contains(v["F"], "l"), strings.Contains(v["F"], "n")
	return h, nil
}
