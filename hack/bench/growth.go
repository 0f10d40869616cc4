package main

import (
	"context"
	"errors"
)

// old is a generation that no session reaches in a week, one rotation a minute.
const old = 10_000

// measureGrowth finds out whether a refresh costs more when there are more
// sessions, or when its own has rotated often.
func measureGrowth(ctx context.Context, l *lab, o options, db *families, whole refresher, found *figures) (err error) {
	crowd, err := db.measure(ctx, whole.sessions, "family bytes at generation 1", found)
	defer func() { err = errors.Join(err, db.forget(ctx, crowd)) }()
	if err != nil {
		return err
	}
	// One worker on both sides: a single session cannot be refreshed by two at once.
	one := &side{name: "refresh of one session", who: whole.with(1, whole.sessions[:1])}
	many := &side{name: "refresh of 100 000 sessions", who: whole.with(1, crowd)}
	if err := l.compare(ctx, o, one, many); err != nil {
		return err
	}
	found.add("refresh cpu sessions 100000/1", 2, ratio(many, one, turn.cpuMicros))

	young, aged := crowd[:loadSessions], crowd[loadSessions:2*loadSessions]
	if err := errors.Join(db.age(ctx, young, 1), db.age(ctx, aged, old)); err != nil {
		return err
	}
	first := &side{name: "refresh from generation 1", who: whole.with(workers, young)}
	late := &side{name: "refresh from generation 10 000", who: whole.with(workers, aged)}
	if err := l.compare(ctx, o, first, late); err != nil {
		return err
	}
	found.add("refresh cpu generation 10000/1", 2, ratio(late, first, turn.cpuMicros))
	return nil
}
