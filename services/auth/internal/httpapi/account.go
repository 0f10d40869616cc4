package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/selfservice"
)

// Account is what users do with their own account. The endpoints and the hosted pages share it, so
// that limits and audit are the same. The user is the principal of the context; see Alive.
type Account struct{ api *API }

// Account returns the operations on the caller's account.
func (a *API) Account() Account { return Account{a} }

// Problem returns the problem that a client sees of an error.
func (a *API) Problem(err error) *problem.Problem { return toProblem(err) }

// Alive fails unless the session of the context's principal is active. It looks up the session's
// record because the revocation feed reports an ended session with a delay, and not at all while
// Redis is unavailable.
func (a *API) Alive(ctx context.Context) error {
	p, _ := authn.FromContext(ctx)
	_, err := a.Sessions.Alive(ctx, session.FamilyID(p.SessionID))
	if errors.Is(err, session.ErrInvalidGrant) {
		return authn.InvalidToken()
	}
	return err
}

// Profile returns the account.
func (a Account) Profile(ctx context.Context) (selfservice.Profile, error) {
	p, _ := authn.FromContext(ctx)
	u, err := a.api.Users.ByID(ctx, p.Subject)
	if err != nil {
		return selfservice.Profile{}, err
	}
	return selfservice.Profile{
		Name: u.Name, Email: u.Email, Roles: u.Roles, SignedInAt: p.AuthTime, NoPassword: !a.api.Passwords || u.PasswordHash == "",
	}, nil
}

// Sessions returns the active sessions.
func (a Account) Sessions(ctx context.Context) ([]selfservice.Session, error) {
	p, _ := authn.FromContext(ctx)
	records, err := a.api.Sessions.List(ctx, p.Subject)
	if err != nil {
		return nil, err
	}
	list := make([]selfservice.Session, 0, len(records))
	for _, r := range records {
		list = append(list, selfservice.Session{
			ID: string(r.Family), Device: r.Device, Begun: r.Begun, Seen: r.Seen, Current: string(r.Family) == p.SessionID,
		})
	}
	return list, nil
}

// End ends one session.
func (a Account) End(ctx context.Context, id string) error {
	p, _ := authn.FromContext(ctx)
	family, err := session.ParseFamilyID(id)
	if err != nil {
		return problem.New(http.StatusNotFound, problem.NotFound, "There is no such session.")
	}
	reason := session.ReasonUserRequest
	if string(family) == p.SessionID {
		reason = session.ReasonLogout
	}
	return a.api.end(ctx, session.Which{Family: family, Subject: p.Subject}, reason)
}

// EndOthers ends all sessions but the current one.
func (a Account) EndOthers(ctx context.Context) error {
	p, _ := authn.FromContext(ctx)
	return a.api.end(ctx, session.Which{Subject: p.Subject, Except: session.FamilyID(p.SessionID)}, session.ReasonUserRequest)
}

// end ends sessions. When it returns nil, they have ended for good, on all replicas.
func (a *API) end(ctx context.Context, which session.Which, reason session.Reason) error {
	_, err := a.Sessions.End(ctx, which, reason)
	return err
}

// ChangePassword changes the password and ends all other sessions of the account.
func (a Account) ChangePassword(ctx context.Context, current, replacement string) error {
	p, _ := authn.FromContext(ctx)
	if !a.api.Passwords {
		return problem.New(http.StatusForbidden, codePasswordsOff, "Passwords are switched off. Sign in with a provider.")
	}
	// A browser with a session is a known device, so this counts against the limit of the device:
	// strangers who exhaust the limit of the account cannot block the owner.
	device := ratelimit.DeviceSubject(p.Subject, p.SessionID)
	who := []audit.Attr{audit.User(p.Subject), audit.Session(p.SessionID)}
	if err := a.api.limit(ctx, ratelimit.LoginDevice, device, who...); err != nil {
		return err
	}
	err := a.api.Users.ChangePassword(ctx, p.Subject, current, replacement, p.SessionID)
	switch faults, refused := errors.AsType[user.FieldErrors](err); {
	case slices.Contains(faults, user.FieldError{Field: user.FieldCurrentPassword, Code: user.CodeWrong}):
		a.api.Audit.Record(ctx, audit.PasswordChangeFailed, append(who, audit.Reason(user.CauseWrongPassword))...)
	case err == nil || refused:
		// The current password was correct, even if the new one was refused. Ignore an error: the
		// password may have been changed already.
		_ = a.api.Limits.Reset(ctx, ratelimit.LoginDevice, device)
	}
	if err != nil {
		return err
	}
	a.api.Audit.Record(ctx, audit.PasswordChanged, audit.User(p.Subject))
	return a.api.Sessions.Finish(ctx, p.Subject)
}
