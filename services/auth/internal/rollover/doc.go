// Package rollover changes the keys that sign access tokens without refusing
// one of them: publish, wait, sign, retire.
//
// It does by itself what an operator does by hand: the new key goes to the end
// of signing.pem, when every verifier has seen it to the front, and the old one
// leaves when the last token that it signed is over. So the file means what it
// always means (package signer: the first signs, all are published), a replica
// that reads it needs no clock, and when nobody can write, nothing changes.
//
// The file lives in a Secret beside the ring of refresh tokens. Every replica
// reads it every few seconds, and every replica may write; a write counts only
// if nobody else has written since it read. PEM headers hold each key's story:
//
//	Published   since when it is in the JWKS
//	Signing     since when it signs, or from when it did
//	Superseded  since when it signs no more
//
// Plan is the rule, pure and with no clock of its own. The package knows
// neither Kubernetes nor HTTP.
package rollover
