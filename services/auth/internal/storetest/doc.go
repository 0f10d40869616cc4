// Package storetest holds the conformance suites of the auth service's stores: Users for user.Store, Families for session.Store, Forms for
// form.Store.
// An implementation is one when its suite passes; memory, miniredis, PostgreSQL and Redis run the very same tests. The contract
// itself is in words at the interfaces. It is imported from _test.go files only.
package storetest
