// Package ratelimit defines the rate limits that protect accounts and password hashes from
// guessing, and the Limiter interface. Package gcra implements it on Redis, so that all replicas
// share each limit.
//
// Callers ask the Limiter before the work and refuse if it fails (fail closed): a limit that yields
// when its store is overloaded does not protect. Existing sessions depend on no limit.
package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// ErrUnavailable reports that the limiter's store is unavailable. The caller responds with 503 and
// Retry-After.
var ErrUnavailable = errors.New("ratelimit: store unavailable")

// Limit identifies a limit.
type Limit uint8

// The limits.
const (
	// LoginAccount limits login attempts to one account by all strangers together. Its subject is
	// the e-mail address as returned by user.ParseEmail, whether or not an account has it, so that
	// the response does not reveal that.
	LoginAccount Limit = iota + 1
	// LoginDevice limits attempts at the password of one account by one known device: a browser
	// that has or had a session of the account. Its subject is that of DeviceSubject.
	LoginDevice
	// LoginAddress limits login attempts from one network address. A success does not reset it:
	// otherwise anyone with an account could.
	LoginAddress
	// RegistrationAddress limits registrations from one network address.
	RegistrationAddress
	// FormAccount limits the forms that are kept for one account while its owner signs in again.
	// Its subject is the account's ID.
	FormAccount
	// FormTotal limits the forms that are kept for all accounts together, since anyone may register
	// many accounts. Its subject is "".
	FormTotal
	// ProviderAddress limits sign-ins with a provider, their beginning and their end, from one
	// network address.
	ProviderAddress
	// ProviderTotal limits the sign-ins with providers that begin, since each is kept for ten
	// minutes. Its subject is "".
	ProviderTotal
)

// All returns every limit.
func All() []Limit {
	return []Limit{LoginAccount, LoginDevice, LoginAddress, RegistrationAddress, FormAccount, FormTotal, ProviderAddress, ProviderTotal}
}

// String returns the limit's name in keys, metrics and the audit log.
func (l Limit) String() string {
	switch l {
	case LoginAccount:
		return "login_account"
	case LoginDevice:
		return "login_device"
	case LoginAddress:
		return "login_address"
	case RegistrationAddress:
		return "registration_address"
	case FormAccount:
		return "form_account"
	case FormTotal:
		return "form_total"
	case ProviderAddress:
		return "provider_address"
	case ProviderTotal:
		return "provider_total"
	}
	return "unknown"
}

// Subject returns the subject that a limit counts. Limits by address count IPv6 by /64, the
// smallest prefix that a customer gets (RFC 6177). Text that is not an address is returned
// unchanged.
func (l Limit) Subject(s string) string {
	if l != LoginAddress && l != RegistrationAddress && l != ProviderAddress {
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

// DeviceSubject returns the subject of LoginDevice for a device that has or had a session of an
// account, given by its ID. It depends on the first character of the session ID only, so that an
// account has at most 64 counters however many sessions it has. Two devices share a counter only by
// chance.
func DeviceSubject(account, session string) string {
	return account + "\x00" + session[:min(1, len(session))]
}

// Rate allows Burst at once and refills evenly: one per Period/Burst.
type Rate struct {
	Burst  int
	Period time.Duration
	// Counters, if not 0, is the number of counters that all subjects share; a keyed digest of the
	// subject selects one. It bounds the storage of rates with a long Period, whatever subjects
	// attackers choose.
	Counters int
}

// Rates maps each limit to its rates. All rates of a limit apply at the same time.
type Rates map[Limit][]Rate

// strangers is the number of counters for failed logins of the last 30 days. With ten million
// accounts, 40 share a counter and are refused together after a hundred failures by strangers in a
// month.
const strangers = 1 << 18

// DefaultRates returns rates that people do not notice and that make guessing infeasible.
//
// Strangers get ten attempts at an account at once and then one per minute, and a hundred failures
// in 30 days, the bound of NIST SP 800-63B-4 section 3.2.2. After that they get one attempt every
// seven hours. Each known device has the same rates of its own, so that strangers cannot lock out
// the owner.
//
// A network address may belong to an office or a provider's gateway, so its rates are high. They
// stop attackers who try one password on many accounts; package password bounds the cost of
// hashing.
//
// Forms are kept for ten minutes, in which FormTotal allows twice its burst: at most 500 forms of
// 80 KiB. Sign-ins with a provider are too, of 5 KiB each at most: at most 40000 of them.
func DefaultRates() Rates {
	return Rates{
		LoginAccount:        {{Burst: 10, Period: 10 * time.Minute}, {Burst: 100, Period: 30 * 24 * time.Hour, Counters: strangers}},
		LoginDevice:         {{Burst: 10, Period: 10 * time.Minute}, {Burst: 100, Period: 30 * 24 * time.Hour}},
		LoginAddress:        {{Burst: 300, Period: 10 * time.Minute}},
		RegistrationAddress: {{Burst: 100, Period: time.Hour}},
		FormAccount:         {{Burst: 10, Period: 10 * time.Minute}},
		FormTotal:           {{Burst: 250, Period: 10 * time.Minute}},
		ProviderAddress:     {{Burst: 600, Period: 10 * time.Minute}},
		ProviderTotal:       {{Burst: 20_000, Period: 10 * time.Minute}},
	}
}

// Decision is a Limiter's decision.
type Decision struct {
	Allowed bool
	// RetryAfter is greater than 0 if Allowed is false: the time until every rate of the limit
	// allows one attempt, if nobody else makes one.
	RetryAfter time.Duration
}

// Limiter enforces limits. Its methods are safe for concurrent use, also by several replicas.
type Limiter interface {
	// Allow takes one attempt from each rate of the limit. Call it before the work, so that
	// parallel attempts cannot all pass before the first has failed. Rates are asked in order.
	// After the first refusal nothing more is taken, but earlier rates keep what they gave: with
	// the shortest rate first, repeated attempts do not prolong a long one. Errors: ErrUnavailable,
	// the context's.
	Allow(ctx context.Context, limit Limit, subject string) (Decision, error)

	// Reset is called after a success, so that only consecutive failures count. It clears the
	// subject's own counters. Shared counters get back only the one attempt that Allow took, so
	// that nobody can clear the count of another account. Errors: ErrUnavailable, the context's.
	Reset(ctx context.Context, limit Limit, subject string) error
}
