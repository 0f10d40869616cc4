// Package auth asks the auth service for what a user may do with their own
// account: see and end their sessions, and change their password. It knows the
// paths and the shapes of its contract; who asks is in the context.
package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"lilypad.example/services/frontend/internal/upstream"
)

// A Session is one place where the asking user is signed in.
type Session struct {
	ID string `json:"sid"`
	// Device is the user agent that began it: anybody's text.
	Device  string    `json:"device"`
	Begun   time.Time `json:"begun"`
	Seen    time.Time `json:"seen"`
	Current bool      `json:"current"` // whether it is the one that asks
}

// A session's id is 128 bits in base64url.
const (
	idBytes = 16
	idLen   = 22
)

// ValidID reports whether s has the shape of a session's id. Nothing else
// becomes part of an address that a token is sent to.
func ValidID(s string) bool {
	// The decoder skips line breaks: only both lengths together leave no room for one.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(s) == idLen && len(b) == idBytes
}

// API is the auth service.
type API struct{ service *upstream.Service }

// New returns the auth service at base.
func New(base string) API { return API{upstream.New(base)} }

// Sessions returns the sessions of the user that have not ended.
func (a API) Sessions(ctx context.Context) ([]Session, error) {
	var answer struct {
		Sessions []Session `json:"sessions"`
	}
	err := a.service.Do(ctx, http.MethodGet, "/v1/sessions", &answer)
	return answer.Sessions, err
}

// End ends one session of the user; it may be over already. An id that is none
// is upstream.ErrNotFound.
func (a API) End(ctx context.Context, id string) error {
	if !ValidID(id) {
		return upstream.ErrNotFound
	}
	return a.service.Tell(ctx, http.MethodDelete, "/v1/sessions/"+id, nil)
}

// EndOthers ends all sessions of the user but the one that asks.
func (a API) EndOthers(ctx context.Context) error {
	return a.service.Tell(ctx, http.MethodDelete, "/v1/sessions?others=true", nil)
}

// ChangePassword replaces the password of a user who knows the current one, and
// ends all other sessions. upstream.FieldErrors are about "current_password"
// and "password", which is the new one.
func (a API) ChangePassword(ctx context.Context, current, replacement string) error {
	return a.service.Tell(ctx, http.MethodPost, "/v1/me/password", struct {
		Current string `json:"current_password"`
		New     string `json:"new_password"`
	}{current, replacement})
}
