// Package ratelimit names the limits that protect accounts and hashes from guessing, in a closed list, and says what a Limiter
// must do. Package gcra has the one implementation, on Redis, so that all replicas share each limit.
//
// The rule for callers: ask before the work, and if a Limiter does not answer, refuse (fail closed): a limit that yields when its
// store is overloaded is no limit. A session that exists already never depends on one.
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
	// LoginAccount bounds attempts to log in to one account by strangers, all together; its subject is the address as
	// user.ParseEmail returns it, whether or not an account has it, since the answer must not tell.
	LoginAccount Limit = iota + 1
	// LoginDevice bounds attempts at the password of one account by one known device: a browser that had a session of the account
	// before, or has one. Its subject is that of DeviceSubject.
	LoginDevice
	// LoginAddress bounds attempts to log in from one network address. Nothing resets it: whoever has an account could.
	LoginAddress
	// RegistrationAddress bounds registrations from one network address.
	RegistrationAddress
	// FormAccount bounds the forms that are kept for one account while its owner signs in again; its subject is the account's id.
	FormAccount
	// FormTotal bounds the forms that are kept for all accounts together, since anybody may register many; its subject is "".
	FormTotal
)

// All returns every limit.
func All() []Limit {
	return []Limit{LoginAccount, LoginDevice, LoginAddress, RegistrationAddress, FormAccount, FormTotal}
}

// String returns the limit's name, as it is in keys, metrics and the audit log.
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
	}
	return "unknown"
}

// Subject returns the form in which a limit counts a subject. Limits by address count IPv6 by /64, the least that one customer gets
// (RFC 6177): every address in it costs its owner nothing. Text that is no address counts as it is.
func (l Limit) Subject(s string) string {
	if l != LoginAddress && l != RegistrationAddress {
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

// DeviceSubject returns the subject of LoginDevice for a device that has or had a session of an account; account is the account's id.
// An account has as many of them as there are first characters of session ids, 64: more sessions make no more counters. One device
// uses up another's attempts by chance alone.
func DeviceSubject(account, session string) string {
	return account + "\x00" + session[:min(1, len(session))]
}

// Rate allows Burst at once, and Burst again after Period, evenly: one each Period/Burst.
type Rate struct {
	Burst  int
	Period time.Duration
	// Counters, if not 0, is how many counters all subjects share: a subject's is found by a keyed digest. So a rate that remembers
	// for long takes a bounded place in the store, whatever subjects are made up.
	Counters int
}

// Rates gives each limit the rates that hold for it, all of them at once.
type Rates map[Limit][]Rate

// strangers is how many counters hold the failed logins of the last 30 days. With ten million accounts 40 share one, and are refused
// together only when their strangers fail a hundred times in a month.
const strangers = 1 << 18

// DefaultRates are generous to people and useless to guessers.
//
// Strangers get ten attempts at an account at once and one a minute after them, and a hundred failures in 30 days, which is where
// NIST SP 800-63B-4 section 3.2.2 draws the line; a hundred and first attempt is allowed some seven hours later. A known device gets the
// same for itself alone, whatever strangers do, so that they cannot keep the owner out.
//
// An address may be a whole office or a provider's gateway, hence the wide figures. What they are for is somebody who tries one
// password on many accounts; the cost of hashing is bounded elsewhere (password.Hasher).
//
// The forms of all accounts are kept for ten minutes, in which FormTotal allows twice its burst: 500 forms of 80 KiB at most.
func DefaultRates() Rates {
	return Rates{
		LoginAccount:        {{Burst: 10, Period: 10 * time.Minute}, {Burst: 100, Period: 30 * 24 * time.Hour, Counters: strangers}},
		LoginDevice:         {{Burst: 10, Period: 10 * time.Minute}, {Burst: 100, Period: 30 * 24 * time.Hour}},
		LoginAddress:        {{Burst: 300, Period: 10 * time.Minute}},
		RegistrationAddress: {{Burst: 100, Period: time.Hour}},
		FormAccount:         {{Burst: 10, Period: 10 * time.Minute}},
		FormTotal:           {{Burst: 250, Period: 10 * time.Minute}},
	}
}

// Decision is a Limiter's answer.
type Decision struct {
	Allowed    bool
	RetryAfter time.Duration // when not allowed: until every rate of the limit would allow one, if nobody else asks; more than 0
}

// Limiter counts. All methods may be called concurrently and from many replicas.
type Limiter interface {
	// Allow takes one from what the limit leaves to the subject, before the work it allows is done, so that parallel attempts
	// cannot all pass before the first has failed. The rates of a limit are asked in their order and nothing is taken behind the
	// first refusal: what the ones before it gave stays taken, so put the shortest first, and insisting never prolongs a long one.
	// Errors: ErrUnavailable, the context's own.
	Allow(ctx context.Context, limit Limit, subject string) (Decision, error)

	// Reset is for a success after Allow. It gives the subject everything back, so that consecutive failures are counted; of
	// counters that subjects share, only the one that Allow took: who has an account of their own must not clear another's.
	// Errors: ErrUnavailable, the context's own.
	Reset(ctx context.Context, limit Limit, subject string) error
}
