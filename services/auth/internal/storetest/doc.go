// Package storetest holds the conformance suites of the auth service's stores:
// Users, Records, Families and Forms. Each implementation passes its suite:
// memory, PostgreSQL, miniredis and Redis. The contracts themselves are stated at
// the interfaces. Only tests import this package.
package storetest
