// Package queries holds the statements of package postgres, as sqlc generates them
// from the *.sql files.
package queries
