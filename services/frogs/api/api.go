// Package api holds the JSON types of the frogs API. They are written by hand; a test validates
// them against openapi.yaml.
package api

import (
	_ "embed"
	"time"
)

// OpenAPI is the OpenAPI description of the frogs API.
//
//go:embed openapi.yaml
var OpenAPI []byte

// A Frog is one frog as the requesting user sees it.
type Frog struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Latin    string    `json:"latin"`
	Pets     int64     `json:"pets"`
	PettedAt time.Time `json:"petted_at,omitzero"`
}

// A FrogList is the response body of GET /api/frogs.
type FrogList struct {
	Frogs []Frog `json:"frogs"`
}
