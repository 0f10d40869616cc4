package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lilypad.example/services/auth/internal/password"
)

// ErrInvalidCredentials means an unknown address, a wrong password or a disabled account, without
// saying which.
var ErrInvalidCredentials = errors.New("user: invalid credentials")

// Cause is why credentials were refused. It is for the audit log only and must never reach the
// client.
type Cause uint8

// The causes of a Refusal.
const (
	CauseUnknownUser Cause = iota + 1
	CauseWrongPassword
	CauseDisabled
)

// String returns the cause's name in the audit log.
func (c Cause) String() string {
	switch c {
	case CauseUnknownUser:
		return "unknown_user"
	case CauseWrongPassword:
		return "wrong_password"
	case CauseDisabled:
		return "disabled"
	}
	return "unknown"
}

// Refusal is the error of Authenticate for refused credentials. It wraps ErrInvalidCredentials and
// has the same text.
type Refusal struct { //nolint:errname // named for what it is; errors.Is finds ErrInvalidCredentials
	Cause  Cause
	UserID string // empty for an unknown user
}

// Error returns the text of ErrInvalidCredentials, whatever the cause.
func (*Refusal) Error() string { return ErrInvalidCredentials.Error() }

// Unwrap returns ErrInvalidCredentials.
func (*Refusal) Unwrap() error { return ErrInvalidCredentials }

// Hasher hashes and verifies passwords, like password.Hasher. Verify with an empty hash must do the
// same work as with a real one, and never match.
type Hasher interface {
	Hash(ctx context.Context, password string) (string, error)
	Verify(ctx context.Context, password, hash string) (password.Verdict, error)
}

// Service registers and authenticates users.
type Service struct {
	store  Store
	hasher Hasher
	now    func() time.Time
}

// NewService returns a Service that keeps users in store. now is the clock (time.Now outside
// tests).
func NewService(store Store, hasher Hasher, now func() time.Time) *Service {
	return &Service{store: store, hasher: hasher, now: now}
}

// Register creates an account with the given roles. Visitors register without roles.
// Errors: FieldErrors, ErrEmailTaken, ErrUnavailable, password.ErrBusy, the error of the context,
// or an error that names an invalid role.
func (s *Service) Register(ctx context.Context, email, name, secret string, roles ...string) (User, error) {
	u, err := s.prepare(email, name, secret, roles)
	if err != nil {
		return User{}, err
	}
	// Hash before Create, so that a taken address takes as long as a free one.
	hash, err := s.hasher.Hash(ctx, secret)
	if err != nil {
		return User{}, fmt.Errorf("register: %w", err)
	}
	u.PasswordHash = Hash(hash)
	if err := s.store.Create(ctx, u); err != nil {
		return User{}, fmt.Errorf("register: %w", err)
	}
	return u, nil
}

// prepare validates the fields of a registration and returns the user, without a password hash.
func (s *Service) prepare(email, name, secret string, roles []string) (User, error) {
	if err := checkRoles(roles); err != nil {
		return User{}, fmt.Errorf("register: %w", err)
	}
	var faults FieldErrors
	note := func(err error) {
		if fault, ok := errors.AsType[FieldError](err); ok {
			faults = append(faults, fault)
		}
	}
	parsedEmail, err := ParseEmail(email)
	note(err)
	parsedName, err := ParseName(name)
	note(err)
	note(checkPassword(secret, parsedEmail, parsedName))
	if len(faults) > 0 {
		return User{}, faults
	}
	id, err := uuid.NewV7()
	if err != nil {
		return User{}, fmt.Errorf("register: %w", err)
	}
	return User{
		ID: id.String(), Email: parsedEmail, Name: parsedName, Roles: normalRoles(roles),
		// The precision of a Store, so that the returned user equals the stored one.
		CreatedAt: s.now().UTC().Truncate(time.Microsecond), Version: 1,
	}, nil
}

func checkPassword(secret, email, name string) error {
	switch err := password.Check(secret, email, name); {
	case err == nil:
		return nil
	case errors.Is(err, password.ErrRequired):
		return FieldError{FieldPassword, CodeRequired}
	case errors.Is(err, password.ErrTooShort):
		return FieldError{FieldPassword, CodeTooShort}
	case errors.Is(err, password.ErrTooLong):
		return FieldError{FieldPassword, CodeTooLong}
	default:
		return FieldError{FieldPassword, CodeCommon}
	}
}

// Authenticate returns the user with these credentials. Whatever is wrong with them, it verifies
// one hash and answers the same (OWASP ASVS 5.0 requirement 6.3.8). For an unknown or malformed
// address, and for an account without a password, it verifies the empty hash, which never matches. After a success it replaces a hash with
// outdated parameters; a failure to do so does not fail the login.
// Errors: a Refusal (ErrInvalidCredentials), ErrUnavailable, password.ErrBusy, the error of the
// context.
func (s *Service) Authenticate(ctx context.Context, email, secret string) (User, error) {
	u, err := s.find(ctx, email)
	if err != nil {
		return User{}, fmt.Errorf("authenticate: %w", err)
	}
	verdict, err := s.hasher.Verify(ctx, secret, string(u.PasswordHash)) // an unknown user has an empty hash
	if err != nil {
		return User{}, fmt.Errorf("authenticate: %w", err)
	}
	switch {
	case u.ID == "":
		return User{}, &Refusal{Cause: CauseUnknownUser}
	case !verdict.Match:
		return User{}, &Refusal{Cause: CauseWrongPassword, UserID: u.ID}
	case u.Disabled:
		return User{}, &Refusal{Cause: CauseDisabled, UserID: u.ID}
	}
	if verdict.Outdated {
		s.rehash(ctx, &u, secret)
	}
	return u, nil
}

// find returns the user with this address, or the zero User if there is none.
func (s *Service) find(ctx context.Context, email string) (User, error) {
	parsed, err := ParseEmail(email)
	if err != nil {
		// Look up the empty address, which nobody has, so that a malformed address takes as long as
		// a valid one.
		parsed = ""
	}
	u, err := s.store.ByEmail(ctx, parsed)
	if errors.Is(err, ErrNotFound) {
		return User{}, nil
	}
	return u, err
}

// rehash stores a hash with the current parameters. It ignores errors: the next login tries again.
func (s *Service) rehash(ctx context.Context, u *User, secret string) {
	hash, err := s.hasher.Hash(ctx, secret)
	if err != nil {
		return
	}
	if err := s.store.UpdatePasswordHash(ctx, u.ID, u.PasswordHash, Hash(hash)); err == nil {
		u.PasswordHash = Hash(hash)
	}
}

// ByID returns the user with this ID.
// Errors: ErrNotFound, ErrUnavailable, the error of the context.
func (s *Service) ByID(ctx context.Context, id string) (User, error) {
	u, err := s.store.ByID(ctx, id)
	if err != nil {
		return User{}, fmt.Errorf("user by id: %w", err)
	}
	return u, nil
}

// ByEmail returns the user with this address, a result of ParseEmail.
// Errors: ErrNotFound, ErrUnavailable, the error of the context.
func (s *Service) ByEmail(ctx context.Context, email string) (User, error) {
	u, err := s.store.ByEmail(ctx, email)
	if err != nil {
		return User{}, fmt.Errorf("user by email: %w", err)
	}
	return u, nil
}

// ChangePassword replaces the password of a user who knows the current one, and ends all sessions
// of the user except keep. If current is wrong and secret is the user's password already, it
// succeeds: an earlier call changed the password, and its answer was lost.
// Errors: FieldErrors, ErrNotFound, ErrHashChanged, ErrUnavailable, password.ErrBusy, the error of
// the context.
func (s *Service) ChangePassword(ctx context.Context, id, current, secret, keep string) error {
	u, err := s.store.ByID(ctx, id)
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	verdict, err := s.hasher.Verify(ctx, current, string(u.PasswordHash))
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	if !verdict.Match {
		if verdict, err = s.hasher.Verify(ctx, secret, string(u.PasswordHash)); err != nil {
			return fmt.Errorf("change password: %w", err)
		}
		if verdict.Match {
			return nil
		}
		return FieldErrors{{FieldCurrentPassword, CodeWrong}}
	}
	if fault, ok := errors.AsType[FieldError](checkPassword(secret, u.Email, u.Name)); ok {
		return FieldErrors{fault}
	}
	hash, err := s.hasher.Hash(ctx, secret)
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	if err := s.store.ChangePassword(ctx, id, u.PasswordHash, Hash(hash), s.now(), keep); err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	return nil
}

// SetDisabled disables the account with this address and ends its sessions, or enables it. It
// returns the account as it was before.
// Errors: ErrNotFound, ErrUnavailable, the error of the context.
func (s *Service) SetDisabled(ctx context.Context, email string, disabled bool) (User, error) {
	return s.change(ctx, "disable user", email, func(email string) error { return s.store.SetDisabled(ctx, email, disabled, s.now()) })
}

// SetRoles replaces the roles of the account with this address, and returns the account as it was
// before. Its sessions get the new roles at their next refresh.
// Errors: ErrNotFound, ErrUnavailable, the error of the context, or an error that names an invalid
// role.
func (s *Service) SetRoles(ctx context.Context, email string, roles []string) (User, error) {
	if err := checkRoles(roles); err != nil {
		return User{}, fmt.Errorf("set roles: %w", err)
	}
	return s.change(ctx, "set roles", email, func(email string) error { return s.store.SetRoles(ctx, email, normalRoles(roles)) })
}

// Delete deletes the account with this address, ends its sessions, and returns the account as it
// was.
// Errors: ErrNotFound, ErrUnavailable, the error of the context.
func (s *Service) Delete(ctx context.Context, email string) (User, error) {
	return s.change(ctx, "delete user", email, func(email string) error { return s.store.Delete(ctx, email) })
}

// change calls change with the normalized address, and returns the account as it was before.
func (s *Service) change(ctx context.Context, step, email string, change func(email string) error) (User, error) {
	parsed, err := ParseEmail(email)
	if err != nil {
		return User{}, ErrNotFound
	}
	u, err := s.store.ByEmail(ctx, parsed)
	if err == nil {
		err = change(parsed)
	}
	if err != nil {
		return User{}, fmt.Errorf("%s: %w", step, err)
	}
	return u, nil
}
