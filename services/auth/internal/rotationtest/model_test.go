package rotationtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// The sequential model of a family: redis.Decide, and what begin, confirm
// and revoke do. Porcupine asks whether a concurrent history has an order of
// its operations that the model would have answered in the same way.

type kind string

const (
	begun     kind = "begin"
	refreshed kind = "refresh"
	confirmed kind = "confirm"
	ended     kind = "revoke"
)

// An input is an operation on one family.
type input struct {
	kind   kind
	family session.FamilyID
	shown  session.Presentation // what there is to it, for its kind
	// of a family that begins
	subject string
	end     time.Time
}

// An output is what the caller got. Without an answer, known is false; maybe
// then says that it is not even certain that the operation happened.
type output struct {
	known, maybe bool
	outcome      session.Outcome
	generation   uint64
	keyID        string
}

// forever is the return of an operation that may happen at any time later.
const forever = math.MaxInt64

func model(p session.Policy) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byFamily,
		Init:      func() []any { return []any{session.Family{}} },
		Step: func(state, in, out any) []any {
			before, op, answer := state.(session.Family), in.(input), out.(output)
			after, ok := apply(before, op, answer, p)
			switch {
			case answer.maybe:
				return []any{before, after}
			case !ok:
				return nil
			}
			return []any{after}
		},
	}
	return m.ToModel()
}

// apply does an operation and reports whether it would have been answered so.
func apply(f session.Family, op input, answer output, p session.Policy) (session.Family, bool) {
	switch op.kind {
	case begun:
		return session.Family{
			Generation: 1, Rotated: op.shown.Now, Confirmed: true, Client: op.shown.Client, KeyID: op.shown.KeyID, End: op.end,
		}, f.Generation == 0
	case confirmed:
		f.Confirmed = f.Confirmed || f.Generation == op.shown.Generation
	case ended:
		f.Revoked = f.Revoked || f.Client == op.shown.Client
	case refreshed:
		outcome, after := redis.Decide(f, op.shown, p)
		if !answer.known {
			return after, true
		}
		same := outcome == answer.outcome
		if outcome.Granted() {
			same = same && after.Generation == answer.generation && after.KeyID == answer.keyID
		}
		return after, same
	}
	return f, true
}

// byFamily splits a history: families have nothing to do with each other.
func byFamily(history []porcupine.Operation) [][]porcupine.Operation {
	families := map[session.FamilyID][]porcupine.Operation{}
	for _, op := range history {
		id := op.Input.(input).family
		families[id] = append(families[id], op)
	}
	parts := make([][]porcupine.Operation, 0, len(families))
	for _, part := range families {
		parts = append(parts, part)
	}
	return parts
}

// illegal returns the families of a history that are not linearizable, in
// words; "" if all are.
func illegal(p session.Policy, history []porcupine.Operation) string {
	m := model(p)
	var b strings.Builder
	for _, part := range byFamily(history) {
		if !porcupine.CheckOperations(m, part) {
			b.WriteString("not linearizable:\n" + story(part))
		}
	}
	return b.String()
}

// story tells a family's history in the order of calls.
func story(part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, op := range part {
		in, out := op.Input.(input), op.Output.(output)
		fmt.Fprintf(&b, "  [%d, %d] worker %d at %s: %s %d by %s of %s: ", op.Call, op.Return, op.ClientId,
			in.shown.Now.Format("15:04:05.000"), in.kind, in.shown.Generation, in.shown.Presenter, in.shown.Client)
		switch {
		case out.maybe:
			b.WriteString("maybe\n")
		case !out.known:
			b.WriteString("done\n")
		default:
			fmt.Fprintf(&b, "%s, %s…%d\n", out.outcome, out.keyID, out.generation)
		}
	}
	return b.String()
}
