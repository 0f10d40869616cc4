package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// tombstones is the number of ended sessions in the database: four per second for a month.
const tombstones = 10_000_000

// statement is a background query of the auth service, with its parameters
// (services/auth/internal/session/revoke.go).
type statement struct {
	figure, name string
	values       map[string]string
}

func statements() []statement {
	return []statement{
		{"reconcile ms at 10M tombstones", "PendingSessions", map[string]string{"within_seconds": "0", "most": "500"}},
		{"complete stream ms at 10M tombstones", "RevokedSessions", map[string]string{"since": "(now() - interval '6 minutes')", "after": "''", "most": "1000"}},
		{"prune ms a thousand at 10M tombstones", "PruneSessions", map[string]string{"before": "now() - interval '30 days'", "most": "1000"}},
	}
}

// measureReconcile measures the background queries of the auth service with many ended sessions:
// the execution times that PostgreSQL reports.
func measureReconcile(ctx context.Context, l *lab, o options, found *figures) error {
	l.say("writing %d tombstones", tombstones)
	// One in 10 000 is older than the retention period, one in 100 000 is new. Rebuilding the
	// indexes is faster than updating them.
	if _, err := l.psql(ctx, fmt.Sprintf(`
SET statement_timeout = 0;
CREATE TEMP TABLE indexes AS SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'sessions' AND indexname <> 'sessions_pkey';
SELECT format('DROP INDEX %%I', indexname) FROM indexes \gexec
INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at, revoked_at, reason)
SELECT to_char(n, 'FM0000000000000000000000'), id, '{}', 'production-frontend/frogs-frontend', 'Firefox', at, at, at + interval '30 days', at, 'logout'
FROM generate_series(1, %d) AS n, LATERAL (SELECT CASE
  WHEN n %% 10000 = 0 THEN now() - interval '61 days'
  WHEN n %% 100000 = 1 THEN now() - interval '1 minute'
  ELSE now() - interval '1 hour' - random() * interval '29 days' END AS at) AS t, (SELECT id FROM users LIMIT 1) AS u;
SELECT indexdef FROM indexes \gexec
VACUUM ANALYZE sessions;
`, tombstones)); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(l.root, filepath.FromSlash("services/auth/internal/postgres/queries/sessions.sql")))
	if err != nil {
		return err
	}
	for _, s := range statements() {
		query, err := prepare(string(text), s.name, s.values)
		if err != nil {
			return err
		}
		times := make([]float64, 0, o.rounds)
		for range o.rounds {
			took, err := l.explain(ctx, query)
			if err != nil {
				return err
			}
			times = append(times, took)
		}
		found.add(s.figure, 1, median(times))
	}
	return nil
}

// prepare returns a statement of a sqlc file with its parameters replaced by values.
func prepare(text, name string, values map[string]string) (string, error) {
	_, statement, ok := strings.Cut(text, "-- name: "+name+" ")
	if !ok {
		return "", fmt.Errorf("no statement %s", name)
	}
	_, statement, _ = strings.Cut(statement, "\n")
	statement, _, _ = strings.Cut(statement, ";")
	for param, value := range values {
		statement = strings.ReplaceAll(statement, "@"+param, value)
	}
	return statement, nil
}

var timings = regexp.MustCompile(`Execution Time: ([0-9.]+) ms`)

// explain runs a statement, rolls it back, and returns its execution time in ms.
func (l *lab) explain(ctx context.Context, statement string) (float64, error) {
	plan, err := l.psql(ctx, "BEGIN; EXPLAIN (ANALYZE, TIMING OFF) "+statement+"; ROLLBACK;")
	if err != nil {
		return 0, err
	}
	took := 0.0
	for _, m := range timings.FindAllStringSubmatch(plan, -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, err
		}
		took += ms
	}
	if took == 0 {
		return 0, fmt.Errorf("no execution time in\n%s", plan)
	}
	return took, nil
}
