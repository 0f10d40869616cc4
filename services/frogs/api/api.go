// Package api is the wire form of the frogs API, as openapi.yaml defines it:
// small enough to be written by hand, held to the contract by a test.
package api

import (
	_ "embed"
	"time"
)

// OpenAPI is the contract.
//
//go:embed openapi.yaml
var OpenAPI []byte

// A Frog is one frog as the asking user sees it.
type Frog struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Latin    string    `json:"latin"`
	Pets     int64     `json:"pets"`
	PettedAt time.Time `json:"petted_at,omitzero"`
}

// A FrogList is the answer to GET /api/frogs.
type FrogList struct {
	Frogs []Frog `json:"frogs"`
}
