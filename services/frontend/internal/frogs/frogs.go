// Package frogs asks the frogs API. It knows its paths and the shape of its
// answers; who asks is in the context.
package frogs

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"lilypad.example/services/frontend/internal/upstream"
)

// A Frog is one frog as the asking user sees it.
type Frog struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Latin    string    `json:"latin"`
	Pets     int64     `json:"pets"`
	PettedAt time.Time `json:"petted_at"` // zero for never
}

// API is the frogs API.
type API struct{ service *upstream.Service }

// New returns the API at base.
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
