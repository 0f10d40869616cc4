// Package rollover rotates the keys that sign access tokens without invalidating tokens: a new key
// is published, signs once every verifier has it, and is retired when its last token has expired.
//
// It automates the manual procedure. The new key is appended to signing.pem, moved to the front
// when every verifier has seen it, and the old one is removed when the last token that it signed
// has expired. The file keeps its meaning (package signer: the first key signs, all are published),
// a replica that reads it needs no clock, and when nobody can write, nothing changes.
//
// The file is stored in a Secret next to the ring of refresh tokens. Every replica reads it every
// few seconds, and every replica may write; a write succeeds only if the Secret has not changed
// since it was read. PEM headers record each key's history:
//
//	Published   when it was added to the JWKS
//	Signing     when it started to sign
//	Superseded  when it stopped signing
//
// Plan is the rule: a pure function without a clock. The package depends on neither Kubernetes nor
// HTTP.
package rollover
