package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"lilypad.example/services/pkg/process"
)

// old is a generation that a session reaches after more than a week with one rotation per minute.
const old = 10_000

// measureGrowth measures whether a refresh costs more with more sessions, or after many rotations.
func measureGrowth(ctx context.Context, l *lab, o options, db *families, whole refresher, found *figures) (err error) {
	crowd, err := db.measure(ctx, whole.sessions, "family bytes at generation 1", found)
	defer func() { err = errors.Join(err, db.forget(ctx, crowd)) }()
	if err != nil {
		return err
	}
	// One worker on both sides: two cannot refresh the same session.
	one := &side{name: "refresh of one session", who: whole.with(1, whole.sessions[:1])}
	many := &side{name: "refresh of 100 000 sessions", who: whole.with(1, crowd)}
	if err := l.compare(ctx, o, one, many); err != nil {
		return err
	}
	found.add("refresh cpu sessions 100000/1", 2, ratio(many, one, turn.cpuMicros))

	if err := l.addRecords(ctx, whole.sessions, crowd); err != nil {
		return err
	}
	written, err := l.writing(ctx, whole.with(workers, crowd))
	if err != nil {
		return err
	}
	found.add("refresh postgres cpu us", 1, written.micros(written.postgres))

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

// seeEvery is how often the auth service records the generations of sessions
// (services/auth/internal/session/revoke.go).
const seeEvery = 15 * time.Second

// writing is a turn of that length after an equal one: the service then writes the records of one
// turn.
func (l *lab) writing(ctx context.Context, r refresher) (turn, error) {
	l.say("refreshing for %s, and for another %s", seeEvery, seeEvery)
	if _, err := l.drive(ctx, r, seeEvery); err != nil {
		return turn{}, err
	}
	return l.drive(ctx, r, seeEvery)
}

// addRecords creates the PostgreSQL records of copied sessions.
func (l *lab) addRecords(ctx context.Context, originals, made []*session) error {
	var sql bytes.Buffer
	sql.WriteString("CREATE TEMP TABLE made (family text, original text);\nCOPY made FROM STDIN;\n")
	for i, s := range made {
		_, _ = fmt.Fprintf(&sql, "%s\t%s\n", s.id, originals[i%len(originals)].id)
	}
	sql.WriteString(`\.
INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at)
SELECT made.family, user_id, roles, client, device, begun_at, seen_at, ends_at FROM made JOIN sessions ON sessions.family = original;
ANALYZE sessions;
`)
	_, err := l.psql(ctx, sql.String())
	return err
}

// psql runs statements and returns their unaligned output.
func (l *lab) psql(ctx context.Context, sql string) (string, error) {
	at, err := url.Parse(l.stores.PostgresURL)
	if err != nil {
		return "", errors.New("invalid PostgreSQL URL") // the error of Parse contains the password
	}
	password, _ := at.User.Password()
	psql := process.Command(ctx, filepath.Join(process.PostgresBin(), "psql"), "-qXAtv", "ON_ERROR_STOP=1")
	psql.Env = append(process.Environment(nil),
		"PGHOST="+at.Hostname(), "PGPORT="+at.Port(), "PGUSER="+at.User.Username(), "PGPASSWORD="+password,
		"PGDATABASE="+strings.TrimPrefix(at.Path, "/"))
	psql.Stdin = strings.NewReader(sql)
	out, err := psql.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w\n%s", err, out)
	}
	return string(out), nil
}
