// Package audit writes the audit log of accounts, sessions and keys. Each record has the time in
// UTC, the event, its result, who did it, and from where.
//
// By construction a record contains no secret. Events are a closed list, and reasons are values of
// domain types. Only this package makes attributes: its constructors take identifiers, check their
// form, and hash session IDs. Control characters cannot forge a line, because the slog handlers
// encode them. Records are written at every log level.
//
// The names of events and attributes are a stable interface for alerts and reports.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

// Event is a kind of audit record.
type Event uint8

// The events.
const (
	// Accounts.
	UserRegistered Event = iota + 1 // by the user
	UserCreated                     // by an operator
	UserLogin
	UserLoginFailed // with Reason

	PasswordChanged      // by the user
	PasswordChangeFailed // the current password was wrong
	UserDisabled         // by an operator
	UserEnabled          // by an operator
	UserDeleted          // by an operator
	UserRolesSet         // by an operator
	IdentityLinked       // an identity of a provider now signs in to the account
	// Sessions.
	SessionBegun
	SessionPardoned      // a stale token was accepted once: a lost response or a crashed browser
	SessionHealed        // Redis had lost writes, as an authentic token proved
	SessionReuseDetected // a stale token was presented, so the family was revoked
	SessionEnded         // once per session, with Reason
	ProviderLogout       // a provider asked to end sessions, with a valid logout token
	ProviderLogoutFailed // a logout token was not valid

	// Signing keys of access tokens.
	KeyPublished
	KeySigning // it signs from now on
	KeyRetired // the last token that it signed has expired
	KeyRevoked // by an operator, with all tokens that it signed

	// Refused requests.
	LimitExceeded // with Reason, which names the limit
	ClientRefused // the caller is not a configured sidecar
)

// String returns the event's name in the log, or "unknown".
func (e Event) String() string {
	name, _ := e.describe()
	return name
}

// describe returns the name and the result of the event.
func (e Event) describe() (name string, success bool) {
	switch e {
	case UserRegistered:
		return "user.registered", true
	case UserCreated:
		return "user.created", true
	case UserLogin:
		return "user.login", true
	case UserLoginFailed:
		return "user.login_failed", false
	case PasswordChanged:
		return "user.password_changed", true
	case PasswordChangeFailed:
		return "user.password_change_failed", false
	case UserDisabled:
		return "user.disabled", true
	case UserEnabled:
		return "user.enabled", true
	case UserDeleted:
		return "user.deleted", true
	case UserRolesSet:
		return "user.roles_set", true
	case IdentityLinked:
		return "user.identity_linked", true
	case SessionBegun:
		return "session.begun", true
	case SessionPardoned:
		return "session.pardoned", true
	case SessionHealed:
		return "session.healed", true
	case SessionReuseDetected:
		return "session.reuse_detected", false
	case SessionEnded:
		return "session.ended", true
	case ProviderLogout:
		return "session.provider_logout", true
	case ProviderLogoutFailed:
		return "session.provider_logout_failed", false
	case KeyPublished:
		return "key.published", true
	case KeySigning:
		return "key.signing", true
	case KeyRetired:
		return "key.retired", true
	case KeyRevoked:
		return "key.revoked", true
	case LimitExceeded:
		return "limit.exceeded", false
	case ClientRefused:
		return "client.refused", false
	}
	return "unknown", false
}

// Attr is an attribute of a record. Only this package makes them. Record omits the zero Attr.
type Attr struct{ key, value string }

// invalid replaces a malformed value, which could be a secret.
const invalid = "invalid"

// User names the account by its ID, a UUID. An empty ID, for an unknown user, is omitted.
func User(id string) Attr { return attr("user_id", id, isUUID) }

// Session names the session by a digest of its ID, so that the records of a session can be
// correlated with each other, but not with a store or a cookie.
func Session(family string) Attr {
	if family == "" {
		return Attr{}
	}
	sum := sha256.Sum256([]byte("lilypad audit session\x00" + family))
	return Attr{"sid_hash", hex.EncodeToString(sum[:8])}
}

// Client names the sidecar that called.
func Client(id string) Attr { return attr("client_id", id, isClientID) }

// Key names the signing key by its kid, which the JWKS publishes.
func Key(id string) Attr {
	return attr("kid", id, func(s string) bool {
		b, err := base64.RawURLEncoding.DecodeString(s)
		return err == nil && len(b) == 12
	})
}

// Provider names an identity provider by its ID in the providers file.
func Provider(id string) Attr { return attr("provider", id, isClientID) }

// Address names the network address of the user, as the sidecar saw it.
func Address(ip string) Attr {
	return attr("address", ip, func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Zone() == ""
	})
}

// Reason names why the event happened.
func Reason[T session.Reason | ratelimit.Limit | user.Cause | signin.Code](reason T) Attr {
	switch r := any(reason).(type) {
	case signin.Code:
		return attr("reason", string(r), func(string) bool { return r.Valid() })
	case session.Reason: // may come from a store
		return attr("reason", string(r), func(string) bool { return r.Valid() })
	case fmt.Stringer:
		return Attr{"reason", r.String()}
	}
	return Attr{}
}

func attr(key, value string, valid func(string) bool) Attr {
	switch {
	case value == "":
		return Attr{}
	case !valid(value):
		return Attr{key, invalid}
	}
	return Attr{key, value}
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if r != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdef", r) {
			return false
		}
	}
	return true
}

// maxClientID is long enough for a usual Kubernetes namespace and service account name, in bytes.
const maxClientID = 128

// isClientID reports whether s has the form of a client's name or of "namespace/serviceaccount".
func isClientID(s string) bool {
	return len(s) <= maxClientID && !strings.ContainsFunc(s, func(r rune) bool {
		return ('a' > r || r > 'z') && ('A' > r || r > 'Z') && ('0' > r || r > '9') && !strings.ContainsRune("-_./:", r)
	})
}

// Log writes audit records.
type Log struct {
	handler slog.Handler
	now     func() time.Time
}

// New returns a Log that writes to the handler of log. now is the clock (time.Now outside tests).
func New(log *slog.Logger, now func() time.Time) *Log { return &Log{log.Handler(), now} }

// Record writes an event. It ignores errors: a log that cannot be written must not fail the
// request.
func (l *Log) Record(ctx context.Context, event Event, attrs ...Attr) {
	name, success := event.describe()
	result := "failure"
	if success {
		result = "success"
	}
	r := slog.NewRecord(l.now().UTC(), slog.LevelInfo, "audit", 0)
	r.AddAttrs(slog.String("event", name), slog.String("result", result))
	for _, a := range attrs {
		if a.key != "" {
			r.AddAttrs(slog.String(a.key, a.value))
		}
	}
	_ = l.handler.Handle(ctx, r) // Logger.Log would check the level
}
