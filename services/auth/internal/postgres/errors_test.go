package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"lilypad.example/services/auth/internal/user"
)

func TestTranslate(t *testing.T) {
	answer := func(sqlstate, constraint string) error {
		return fmt.Errorf("exec: %w", &pgconn.PgError{Code: sqlstate, ConstraintName: constraint})
	}
	unforeseen := errors.New("none of the contract's")
	for name, tt := range map[string]struct{ err, want error }{
		"no rows":                    {pgx.ErrNoRows, user.ErrNotFound},
		"the address exists":         {answer("23505", "users_email_key"), user.ErrEmailTaken},
		"the ID exists":              {answer("23505", "users_pkey"), unforeseen},
		"a violated check":           {answer("23514", "users_name_length"), unforeseen},
		"no such table":              {answer("42P01", ""), unforeseen},
		"a wrong password":           {answer("28P01", ""), unforeseen},
		"an unknown role":            {answer("28000", ""), unforeseen},
		"an unknown database":        {answer("3D000", ""), unforeseen},
		"an SQLSTATE that is none":   {answer("", ""), unforeseen},
		"a connection exception":     {answer("08006", ""), user.ErrUnavailable},
		"a deadlock":                 {answer("40P01", ""), user.ErrUnavailable},
		"too many connections":       {answer("53300", ""), user.ErrUnavailable},
		"a full disk":                {answer("53100", ""), user.ErrUnavailable},
		"shutting down":              {answer("57P01", ""), user.ErrUnavailable},
		"starting up":                {answer("57P03", ""), user.ErrUnavailable},
		"a statement timeout":        {answer("57014", ""), user.ErrUnavailable},
		"an input/output error":      {answer("58030", ""), user.ErrUnavailable},
		"read-only after a failover": {answer("25006", ""), user.ErrUnavailable},
		"a broken connection":        {io.ErrUnexpectedEOF, user.ErrUnavailable},
		"too slow":                   {context.DeadlineExceeded, user.ErrUnavailable},
	} {
		got := translate(t.Context(), tt.err)
		if tt.want == unforeseen { //nolint:errorlint // a sentinel of this table
			for _, known := range []error{user.ErrNotFound, user.ErrEmailTaken, user.ErrHashChanged, user.ErrUnavailable} {
				if errors.Is(got, known) {
					t.Errorf("%s: got %v, want no error of user.Store", name, got)
				}
			}
			continue
		}
		if !errors.Is(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
