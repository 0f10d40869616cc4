// Package account is the page at /account: the user's profile, sessions and password. Package
// selfservice has the sessions and the password; this page puts the sample app's own words around
// them.
package account

import (
	"context"
	"embed"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/frontend/pages/failure"
	"lilypad.example/services/frontend/pages/layout"
	"lilypad.example/services/frontend/static"
	"lilypad.example/services/pkg/selfservice"
)

//go:embed page.gohtml
var files embed.FS

// Auth is the part of the auth service that this page uses. Its methods return the errors of
// internal/upstream.
type Auth interface {
	Sessions(ctx context.Context) ([]api.SessionInfo, error)
	End(ctx context.Context, id string) error
	EndOthers(ctx context.Context) error
	ChangePassword(ctx context.Context, current, replacement string) error
}

// New returns the page.
func New(assets *static.Assets, auth Auth, now func() time.Time, log *slog.Logger) (*selfservice.Account, error) {
	page, err := layout.Parse(assets, files)
	if err != nil {
		return nil, err
	}
	return &selfservice.Account{
		Path: "/account", Service: service{auth}, Problem: failure.Problem, Now: now, Log: log,
		Render: func(c *gin.Context, status int, v selfservice.View) error {
			return page.Render(c.Writer, c.Request, status, layout.View{Title: "Account", Content: v})
		},
	}, nil
}

// service implements selfservice.Service for the user of the context.
type service struct{ auth Auth }

// Profile fails with a problem if nobody is signed in, and if the auth service did not provide the
// profile.
func (service) Profile(ctx context.Context) (selfservice.Profile, error) {
	u, ok := user.FromContext(ctx)
	switch {
	case !ok:
		return selfservice.Profile{}, failure.SignIn()
	case !u.Known:
		return selfservice.Profile{}, failure.Away()
	}
	return selfservice.Profile{Name: u.Name, Email: u.Email, Roles: u.Roles, SignedInAt: u.SignedInAt}, nil
}

func (s service) Sessions(ctx context.Context) ([]selfservice.Session, error) {
	all, err := s.auth.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]selfservice.Session, 0, len(all))
	for _, i := range all {
		list = append(list, selfservice.Session{ID: i.Sid, Device: i.Device, Begun: i.Begun, Seen: i.Seen, Current: i.Current})
	}
	return list, nil
}

func (s service) End(ctx context.Context, id string) error {
	if _, ok := user.FromContext(ctx); !ok {
		return failure.SignIn()
	}
	return s.auth.End(ctx, id)
}

func (s service) EndOthers(ctx context.Context) error {
	if _, ok := user.FromContext(ctx); !ok {
		return failure.SignIn()
	}
	return s.auth.EndOthers(ctx)
}

func (s service) ChangePassword(ctx context.Context, current, replacement string) error {
	return s.auth.ChangePassword(ctx, current, replacement)
}
