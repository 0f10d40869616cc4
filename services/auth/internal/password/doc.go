// Package password checks new passwords (Check) and hashes and verifies passwords with Argon2id
// (Hasher), with bounded memory.
//
// The policy follows NIST SP 800-63B-4 §3.1.1.2 for passwords as the only factor: a minimum length
// and a block list, no composition rules, no truncation, any Unicode. Passwords are compared and
// hashed in Unicode normalization form C (RFC 8265 §4.2.2), because keyboards differ in how they
// encode a letter.
//
// The package depends on neither users nor stores, and its errors contain no password or hash.
package password
