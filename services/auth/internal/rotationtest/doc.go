// Package rotationtest holds the proofs of refresh-token rotation that no single package can give: simulations and an exhaustive
// game against redis.Decide, and concurrent histories of whole services against a real Redis whose connections are cut,
// checked for linearizability with Porcupine.
//
// It holds tests only and is imported by nobody. Each suite is also run against something that is wrong on purpose and must
// find it: a suite that cannot fail proves nothing.
package rotationtest
