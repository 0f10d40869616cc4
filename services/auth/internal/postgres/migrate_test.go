package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/pgtest"
)

func TestReplicasMigrateAtOnce(t *testing.T) {
	url := pgtest.URL(t, nil)
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = Migrate(t.Context(), url) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s := openURL(t, url)
	var applied int
	err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM goose_db_version WHERE version_id = 1").Scan(&applied)
	if err != nil || applied != 1 {
		t.Fatalf("the first migration was applied %d times (error %v), want once", applied, err)
	}
}

func TestMigrateTwiceChangesNothing(t *testing.T) {
	url := pgtest.URL(t, Migrate)
	s := openURL(t, url)
	u := storetest.NewUser(t, "mina@pond.example")
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ByID(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
}

// TestANewerSchemaIsLeftAlone starts a program that was rolled back, after a newer one has
// migrated.
func TestANewerSchemaIsLeftAlone(t *testing.T) {
	url := pgtest.URL(t, Migrate)
	s := openURL(t, url)
	if _, err := s.pool.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateTakesTheURLThatOpenTakes(t *testing.T) {
	if err := Migrate(t.Context(), pgtest.URL(t, nil)+"&pool_max_conns=2"); err != nil {
		t.Fatal(err)
	}
}

func TestTheSchemaRefusesWhatTheDomainNeverStores(t *testing.T) {
	s := openURL(t, pgtest.URL(t, Migrate))
	for name, tt := range map[string]struct{ constraint, email, userName, hash string }{
		"capitals in an address": {"users_email_normal", "Mina@pond.example", "Mina", "$argon2id$"},
		"no address":             {"users_email_normal", "", "Mina", "$argon2id$"},
		"no name":                {"users_name_length", "mina@pond.example", "", "$argon2id$"},
		"a plain password":       {"users_password_hash_phc", "mina@pond.example", "Mina", "walnut quay zephyr"},
	} {
		_, err := s.pool.Exec(t.Context(),
			"INSERT INTO users (id, email, name, password_hash, created_at, password_changed_at) VALUES ($1, $2, $3, $4, now(), now())",
			storetest.NewUser(t, "").ID, tt.email, tt.userName, tt.hash)
		if err == nil || !strings.Contains(err.Error(), tt.constraint) {
			t.Errorf("%s: error %v, want a violation of %s", name, err, tt.constraint)
		}
		if err != nil && strings.Contains(err.Error(), "walnut") {
			t.Errorf("%s: the error quotes the value: %v", name, err)
		}
	}
}
