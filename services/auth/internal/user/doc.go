// Package user manages accounts: it validates their fields (ParseEmail, ParseName), defines how
// they are stored (Store, with a conformance suite in storetest), and registers, authenticates and
// changes them (Service).
//
// Invariant: neither the answer nor the work of Service.Authenticate reveals whether an address is
// unknown, the password is wrong or the account is disabled. The package does not depend on HTTP, a
// database, sessions or rate limits. Callers check rate limits first.
package user
