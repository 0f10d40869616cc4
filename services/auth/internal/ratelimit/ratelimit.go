// Package ratelimit names the limits that protect accounts and hashes from guessing, in a closed list, and says what a Limiter
// must do. Package gcra has the one implementation, on Redis, so that all replicas share each limit.
//
// The rule for callers: ask before the work, and if a Limiter does not answer, refuse (R10, fail closed): a limit that yields when
// its store is pushed over is no limit. A session that exists already never depends on one.
package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// ErrUnavailable says that the limiter's store did not answer. The caller refuses with 503 and Retry-After.
var ErrUnavailable = errors.New("ratelimit: store unavailable")

// Limit is one of the named limits.
type Limit uint8

// The limits.
const (
	// LoginAccount bounds attempts to log in to one account; its subject is the address as user.ParseEmail returns it, whether or
	// not an account has it, since the answer must not tell. A success resets it, so it counts consecutive failures.
	LoginAccount Limit = iota + 1
	// LoginAddress bounds attempts to log in from one network address. Nothing resets it: whoever has an account could.
	LoginAddress
	// RegistrationAddress bounds registrations from one network address.
	RegistrationAddress
	// FormAccount bounds the forms that are kept for one account while its owner signs in again; its subject is the account's id.
	FormAccount
)

// All returns every limit.
func All() []Limit { return []Limit{LoginAccount, LoginAddress, RegistrationAddress, FormAccount} }

// String returns the limit's name, as it is in keys, metrics and the audit log.
func (l Limit) String() string {
	switch l {
	case LoginAccount:
		return "login_account"
	case LoginAddress:
		return "login_address"
	case RegistrationAddress:
		return "registration_address"
	case FormAccount:
		return "form_account"
	}
	return "unknown"
}

// Subject returns the form in which a limit counts a subject. Limits by address count IPv6 by /64, the least that one customer gets
// (RFC 6177): every address in it costs its owner nothing. Text that is no address counts as it is.
func (l Limit) Subject(s string) string {
	if l == LoginAccount || l == FormAccount {
		return s
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(customerBits)
	if err != nil {
		return s
	}
	return prefix.String()
}

const customerBits = 64

// Rate allows Burst at once, and Burst again after Period, evenly: one each Period/Burst.
type Rate struct {
	Burst  int
	Period time.Duration
}

// Rates gives each limit the rates that hold for it, all of them at once.
type Rates map[Limit][]Rate

// DefaultRates are generous to people and useless to guessers.
//
// An account gets ten attempts at once and one a minute after them; and a hundred in all until the right password comes, which
// is where NIST SP 800-63B-4 §3.2.2 draws the line. Nobody is locked out for ever: a hundred and first attempt is allowed some
// seven hours later. Somebody who only wants to keep the owner out can, as with any such limit; running sessions are not touched.
//
// An address may be a whole office or a provider's gateway, hence the wide figures. What they are for is somebody who tries one
// password on many accounts; the cost of hashing is bounded elsewhere (password.Hasher).
func DefaultRates() Rates {
	return Rates{
		LoginAccount:        {{Burst: 10, Period: 10 * time.Minute}, {Burst: 100, Period: 30 * 24 * time.Hour}},
		LoginAddress:        {{Burst: 300, Period: 10 * time.Minute}},
		RegistrationAddress: {{Burst: 100, Period: time.Hour}},
		FormAccount:         {{Burst: 10, Period: 10 * time.Minute}},
	}
}

// Decision is a Limiter's answer.
type Decision struct {
	Allowed    bool
	RetryAfter time.Duration // when not allowed: from when on it can be, at least; more than 0
}

// Limiter counts. All methods may be called concurrently and from many replicas.
type Limiter interface {
	// Allow takes one from what the limit leaves to the subject, before the work it allows is done, so that parallel attempts
	// cannot all pass before the first has failed. The rates of a limit are asked in their order and the first refusal ends it: what
	// the ones before it gave stays taken, so put the shortest first, and insisting never prolongs a long one.
	// Errors: ErrUnavailable, the context's own.
	Allow(ctx context.Context, limit Limit, subject string) (Decision, error)

	// Reset gives the subject everything back: for LoginAccount after a success.
	// Errors: ErrUnavailable, the context's own.
	Reset(ctx context.Context, limit Limit, subject string) error
}
