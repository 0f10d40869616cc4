// Package rotationtest tests properties of refresh-token rotation that span several packages.
// Simulations and an exhaustive state exploration test [redis.Decide]. Concurrent histories of
// whole services, against a real Redis whose connections are cut, are checked for linearizability
// with Porcupine.
//
// The package contains only tests. Each suite also runs against deliberately wrong rules or stores
// and must detect them: a suite that cannot fail proves nothing.
package rotationtest
