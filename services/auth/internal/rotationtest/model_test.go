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

// This file holds the sequential model of a family: redis.Decide, begin, confirm and revoke.
// Porcupine checks whether the operations of a concurrent history have an order in which the model
// gives the same responses.

type kind string

const (
	began     kind = "begin"
	refreshed kind = "refresh"
	confirmed kind = "confirm"
	revoked   kind = "revoke"
)

// An input is an operation on one family.
type input struct {
	kind   kind
	family session.FamilyID
	shown  session.Presentation // only the fields that the kind uses
	// subject and end are set for began.
	subject string
	end     time.Time
}

// An output is the response that the caller got. known is false if there was none; maybe then
// reports that the operation may not have taken effect either.
type output struct {
	known, maybe bool
	outcome      session.Outcome
	generation   uint64
	keyID        string
}

// forever is the return time of an operation that may take effect at any later time.
const forever = math.MaxInt64

func model(p session.Policy) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byFamily,
		Init:      func() []any { return []any{session.Family{}} },
		Step: func(state, in, out any) []any {
			before, op, response := state.(session.Family), in.(input), out.(output)
			after, ok := apply(before, op, response, p)
			switch {
			case response.maybe:
				return []any{before, after}
			case !ok:
				return nil
			}
			return []any{after}
		},
	}
	return m.ToModel()
}

// apply applies an operation and reports whether the model gives the same response.
func apply(f session.Family, op input, response output, p session.Policy) (session.Family, bool) {
	switch op.kind {
	case began:
		return session.Family{
			Generation: 1, Rotated: op.shown.Now, Confirmed: true, Client: op.shown.Client, KeyID: op.shown.KeyID, End: op.end,
		}, f.Generation == 0
	case confirmed:
		f.Confirmed = f.Confirmed || f.Generation == op.shown.Generation
	case revoked:
		f.Revoked = f.Revoked || f.Client == op.shown.Client
	case refreshed:
		outcome, after := redis.Decide(f, op.shown, p)
		if !response.known {
			return after, true
		}
		same := outcome == response.outcome
		if outcome.Granted() {
			same = same && after.Generation == response.generation && after.KeyID == response.keyID
		}
		return after, same
	}
	return f, true
}

// byFamily splits a history by family. Families are independent of each other.
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

// illegal describes the families of a history that are not linearizable. It returns "" if all are.
func illegal(p session.Policy, history []porcupine.Operation) string {
	m := model(p)
	var b strings.Builder
	for _, part := range byFamily(history) {
		if !porcupine.CheckOperations(m, part) {
			b.WriteString("not linearizable:\n" + describe(part))
		}
	}
	return b.String()
}

// describe formats a family's history in the order of calls.
func describe(part []porcupine.Operation) string {
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
