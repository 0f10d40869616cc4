// Package rotationtest holds the proofs of refresh-token rotation that no single
// package can give: simulations and an exhaustive search against redis.Decide, and
// concurrent histories of whole services against a real Redis whose connections
// are cut, checked for linearizability with Porcupine.
//
// It holds tests only. Each suite also runs against an implementation that is
// wrong on purpose, which it must find.
package rotationtest
