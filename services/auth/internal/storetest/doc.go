// Package storetest contains the conformance suites of the auth service's stores: [Users] for
// user.Store, [Accounts] for user.Store together with session.Records, [Records] for
// session.Records, [Families] for session.Store and [Forms] for form.Store.
//
// Each implementation (memory, miniredis, Redis, PostgreSQL) runs the same suites. The interfaces
// document the contracts. Import this package from _test.go files only.
package storetest
