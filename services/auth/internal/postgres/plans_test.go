package postgres

import (
	_ "embed"
	"regexp"
	"strings"
	"testing"

	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/pgtest"
)

//go:embed queries/sessions.sql
var sessionStatements string

// TestNoStatementReadsTheWholeTable checks the plan of each statement on a table of sessions, most
// of which have ended. `make bench` measures the times for ten million.
func TestNoStatementReadsTheWholeTable(t *testing.T) {
	s := openURL(t, pgtest.URL(t, Migrate))
	u := storetest.NewUser(t, "mina@pond.example")
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), `
		INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at, revoked_at)
		SELECT to_char(n, 'FM0000000000000000000000'), CASE WHEN n % 100 = 0 THEN $1 ELSE gen_random_uuid() END, '{}', 'app', '', now(), now(),
		  now() + random() * interval '30 days', CASE WHEN n % 20 <> 0 THEN now() - random() * interval '30 days' END
		FROM generate_series(1, 50000) AS n`, u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "ANALYZE sessions"); err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer(
		"@families::text[]", "'{0000000000000000000001}'::text[]", "@generations::bigint[]", "'{1}'::bigint[]", "@times::timestamptz[]", "ARRAY[now()]",
		"@family", "'0000000000000000000001'", "@except_family", "''", "sqlc.narg('user_id')::uuid", "NULL::uuid", "sqlc.narg('user_id')", "NULL::uuid",
		"@user_id", "'"+u.ID+"'::uuid", "@id", "'"+u.ID+"'::uuid", "@version", "1", "@roles", "'{}'", "@client", "''", "@device", "''", "@reason", "''",
		"@begun_at", "now()", "@ends_at", "now()", "@now", "now()", "@floor", "1", "@keep", "100", "@most", "1000",
		"@within_seconds", "0", "@grace_seconds", "3", "@as_of", "now()", "@since", "(now() - interval '6 minutes')", "@after", "''", "@before", "now() - interval '30 days'",
		"@authenticated_at", "now()", "@provider", "''", "@acr", "''",
	)
	blocks := regexp.MustCompile(`(?s)-- name: (\w+) :\w+\n(.*?);`).FindAllStringSubmatch(sessionStatements, -1)
	if len(blocks) < 10 {
		t.Fatalf("found %d statements, want at least 10", len(blocks))
	}
	for _, b := range blocks {
		name, statement := b[1], values.Replace(b[2])
		rows, err := s.pool.Query(t.Context(), "EXPLAIN "+statement)
		if err != nil {
			t.Fatalf("explain %s: %v", name, err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("explain %s: %v\n%s", name, err, statement)
		}
		if strings.Contains(plan.String(), "Seq Scan on sessions") {
			t.Errorf("%s reads the whole table:\n%s", name, &plan)
		}
	}
}

// TestSightingsAreHeapOnlyUpdates checks that recording the last generation of sessions, which
// happens all the time, writes to no index.
func TestSightingsAreHeapOnlyUpdates(t *testing.T) {
	s := openURL(t, pgtest.URL(t, Migrate))
	u := storetest.NewUser(t, "mina@pond.example")
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), `
		INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at)
		SELECT to_char(n, 'FM0000000000000000000000'), $1, '{}', 'app', '', now(), now(), now() + interval '30 days' FROM generate_series(1, 5000) AS n`, u.ID); err != nil {
		t.Fatal(err)
	}
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	// A few rows of each page, as in production.
	if _, err := tx.Exec(t.Context(), "UPDATE sessions SET floor = 2, seen_at = now() WHERE right(family, 1) = '0'"); err != nil {
		t.Fatal(err)
	}
	var updated, hot int64
	if err := tx.QueryRow(t.Context(), "SELECT pg_stat_get_xact_tuples_updated('sessions'::regclass), pg_stat_get_xact_tuples_hot_updated('sessions'::regclass)").Scan(&updated, &hot); err != nil {
		t.Fatal(err)
	}
	if updated != 500 || hot < updated*9/10 {
		t.Errorf("%d updates, %d of them heap-only, want 500 and at least 90 %%", updated, hot)
	}
}
