// Package db holds the statements of package postgres, as sqlc generates them from
// queries.sql.
package db
