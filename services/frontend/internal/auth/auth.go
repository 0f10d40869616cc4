// Package auth calls the endpoints of the auth service with which a user sees
// and ends their own sessions, and changes their password. The user is the one
// whose token is in the context.
package auth

import (
	"context"
	"net/http"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/upstream"
)

// API is the auth service.
type API struct{ service *upstream.Service }

// New returns the auth service at base.
func New(base string) API { return API{upstream.New(base)} }

// Sessions returns the sessions of the user that have not ended.
func (a API) Sessions(ctx context.Context) ([]api.SessionInfo, error) {
	var answer api.SessionList
	err := a.service.Do(ctx, api.NewListSessionsRequest, &answer)
	return answer.Sessions, err
}

// End ends one session of the user; it may be over already. It fails with
// upstream.ErrNotFound, without a call, if id cannot be a session's.
func (a API) End(ctx context.Context, id string) error {
	if !api.ValidSessionID(id) {
		return upstream.ErrNotFound
	}
	return a.service.Tell(ctx, func(server string) (*http.Request, error) { return api.NewEndSessionRequest(server, id) })
}

// EndOthers ends all sessions of the user but the one that asks.
func (a API) EndOthers(ctx context.Context) error {
	return a.service.Tell(ctx, func(server string) (*http.Request, error) {
		return api.NewEndSessionsRequest(server, &api.EndSessionsParams{Others: new(true)})
	})
}

// ChangePassword replaces the password of a user who knows the current one, and
// ends all other sessions. upstream.FieldErrors are about "current_password"
// and "password", which is the new one.
func (a API) ChangePassword(ctx context.Context, current, replacement string) error {
	return a.service.Tell(ctx, func(server string) (*http.Request, error) {
		return api.NewChangePasswordRequest(server, api.PasswordChange{CurrentPassword: current, NewPassword: replacement})
	})
}
