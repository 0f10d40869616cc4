// Package queries holds the statements of package postgres. sqlc generates it from the *.sql files.
package queries
