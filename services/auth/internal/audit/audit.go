// Package audit writes what happened to accounts, sessions and keys, for whoever has to find out later: time in UTC, event, result, who,
// and from where.
//
// Nothing secret can be written by construction. Events are a closed list of constants, and so are reasons; attributes come from
// the constructors of this package alone, which take identifiers only, check their form, and hash those of sessions. Control
// characters cannot forge a line: the slog handlers encode them. Audit records are written whatever the log level.
//
// The names of events and attributes are an interface: alerts and reports are built on them. It knows no HTTP and no domain types.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Event is one of the things that are recorded.
type Event uint8

// The events.
const (
	// Accounts.
	UserRegistered  Event = iota + 1 // somebody made an account for themselves
	UserCreated                      // an operator made one
	UserLogin                        // the right credentials
	UserLoginFailed                  // the wrong ones; Reason says which way

	PasswordChanged      // by its owner
	PasswordChangeFailed // the current one was wrong
	UserDisabled         // by an operator
	UserEnabled          // by an operator
	UserDeleted          // by an operator
	UserRolesSet         // by an operator
	// Sessions.
	SessionBegun
	SessionPardoned      // a stale token, forgiven once: a lost response or a crashed browser
	SessionHealed        // the store had lost writes that only we can have made
	SessionReuseDetected // a stale token, and its family is over: somebody copied it
	SessionEnded         // once a session; Reason says why

	// The keys that sign access tokens.
	KeyPublished
	KeySigning // and no other does
	KeyRetired // when the last token it signed was over
	KeyRevoked // by an operator, and with it all tokens it signed

	// Defence.
	LimitExceeded // Reason says which limit
	ClientRefused // a caller that is none of our sidecars
)

// String returns the event's name in the log, or "unknown" for a number that is none.
func (e Event) String() string {
	name, _ := e.describe()
	return name
}

// describe returns an event's name and whether it is a success of the one it names.
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

// Attr is one attribute of a record. Only the functions of this package make one; the zero Attr is left out.
type Attr struct{ key, value string }

// invalid stands for a value that is not of the form its attribute has: whatever it is, it does not belong into a log.
const invalid = "invalid"

// User names the account by its ID, a UUID. An empty ID, that of an unknown user, is left out.
func User(id string) Attr { return attr("user_id", id, isUUID) }

// Session names the session by a digest of its family, so that a log cannot be matched with a store or a cookie by reading alone,
// while all lines of one session can be matched with each other.
func Session(family string) Attr {
	if family == "" {
		return Attr{}
	}
	sum := sha256.Sum256([]byte("lilypad audit session\x00" + family))
	return Attr{"sid_hash", hex.EncodeToString(sum[:8])}
}

// Client names the sidecar that asked.
func Client(id string) Attr { return attr("client_id", id, isClientID) }

// Key names the signing key by its kid, which the JWKS publishes.
func Key(id string) Attr {
	return attr("kid", id, func(s string) bool {
		b, err := base64.RawURLEncoding.DecodeString(s)
		return err == nil && len(b) == 12
	})
}

// Address is the network address of the person who asked, as the sidecar saw it.
func Address(ip string) Attr {
	return attr("address", ip, func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Zone() == ""
	})
}

// Reason says why, with one of the known words; any other becomes "invalid".
func Reason(word string) Attr { return attr("reason", word, isReason) }

func attr(key, value string, valid func(string) bool) Attr {
	switch {
	case value == "":
		return Attr{}
	case !valid(value):
		return Attr{key, invalid}
	}
	return Attr{key, value}
}

// isReason holds the closed list of reasons.
func isReason(word string) bool {
	switch word {
	case "unknown_user", "wrong_password", "disabled", // user.Cause
		"login_account", "login_device", "login_address", "registration_address", "form_account", "form_total", // ratelimit.Limit
		"logout", "password_changed", "user_disabled", "user_deleted", "session_limit", "user_request", "admin", "reuse", "idle", "expired", // session.Reason
		"busy", "unavailable":
		return true
	}
	return false
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

// maxClientID has room for a Kubernetes namespace and a service account's name that are not out of the ordinary.
const maxClientID = 128

// isClientID recognizes a configured client's name or "namespace/serviceaccount".
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

// New returns a Log that writes to the same place as log; now is the clock (time.Now outside tests).
func New(log *slog.Logger, now func() time.Time) *Log { return &Log{log.Handler(), now} }

// Record writes one event. A log that cannot be written stops nobody: there is no error to handle, and the request went through.
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
	_ = l.handler.Handle(ctx, r) // not Logger.Log: that asks for the level first
}
