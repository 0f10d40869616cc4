package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// A Holding is what Redis holds of a family, for operators.
type Holding struct {
	// Family lacks Client and RotatedBy, of which Redis holds only digests, and Verified.
	// Generation is 0 if Redis knows only that the family was revoked.
	session.Family

	// Reason is why the family was revoked, or "" if it was not.
	Reason session.Reason
	// Expires is when Redis deletes the family if it is not used before.
	Expires time.Time
}

// Inspect returns what Redis holds of a family. It changes nothing. It fails with
// session.ErrNotFound or session.ErrUnavailable.
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
	if rotated > 0 { // 0 for a family that was rebuilt from its record
		h.Rotated = time.UnixMilli(rotated)
	}
	h.Confirmed, h.PardonedBefore, h.Pardoned = strings.Contains(v["F"], "c"), strings.Contains(v["F"], "l"), strings.Contains(v["F"], "n")
	return h, nil
}
