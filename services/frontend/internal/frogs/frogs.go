// Package frogs is a client of the frogs API. The user is the one whose token is in the context.
package frogs

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"lilypad.example/services/frontend/internal/upstream"
)

// A Frog is one frog as the requesting user sees it.
type Frog struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Latin    string    `json:"latin"`
	Pets     int64     `json:"pets"`
	PettedAt time.Time `json:"petted_at"` // zero if never
}

// API is a client of the frogs API.
type API struct{ service *upstream.Service }

// New returns a client of the API at base.
func New(base string) API { return API{upstream.New(base)} }

// List returns all frogs in the API's order.
func (a API) List(ctx context.Context) ([]Frog, error) {
	var answer struct {
		Frogs []Frog `json:"frogs"`
	}
	err := a.service.Do(ctx, upstream.To(http.MethodGet, "/api/frogs"), &answer)
	return answer.Frogs, err
}

// Pet pets a frog once and returns it, or upstream.ErrNotFound.
func (a API) Pet(ctx context.Context, id string) (Frog, error) {
	var f Frog
	err := a.service.Do(ctx, upstream.To(http.MethodPost, "/api/frogs/"+url.PathEscape(id)+"/pet"), &f)
	return f, err
}
