// Package auth calls the endpoints of the auth service with which users manage their own sessions
// and password. The user is the one whose token is in the context.
package auth

import (
	"context"
	"net/http"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/upstream"
)

// API is a client of the auth service.
type API struct{ service *upstream.Service }

// New returns a client of the auth service at base.
func New(base string) API { return API{upstream.New(base)} }

// Sessions returns the user's active sessions.
func (a API) Sessions(ctx context.Context) ([]api.SessionInfo, error) {
	var answer api.SessionList
	err := a.service.Do(ctx, api.NewListSessionsRequest, &answer)
	return answer.Sessions, err
}

// End ends one session of the user. It succeeds if the session has ended already. If id is not a
// valid session id, it returns upstream.ErrNotFound without a call.
func (a API) End(ctx context.Context, id string) error {
	if !api.ValidSessionID(id) {
		return upstream.ErrNotFound
	}
	return a.service.Tell(ctx, func(server string) (*http.Request, error) { return api.NewEndSessionRequest(server, id) })
}

// EndOthers ends all sessions of the user except the current one.
func (a API) EndOthers(ctx context.Context) error {
	return a.service.Tell(ctx, func(server string) (*http.Request, error) {
		return api.NewEndSessionsRequest(server, &api.EndSessionsParams{Others: new(true)})
	})
}

// ChangePassword changes the password of a user who knows the current one, and ends all other
// sessions. Fields in upstream.FieldErrors are "current_password" and, for the new password,
// "password".
func (a API) ChangePassword(ctx context.Context, current, replacement string) error {
	return a.service.Tell(ctx, func(server string) (*http.Request, error) {
		return api.NewChangePasswordRequest(server, api.PasswordChange{CurrentPassword: current, NewPassword: replacement})
	})
}
