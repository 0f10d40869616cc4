// Package password decides which passwords are good enough (Check) and turns them into Argon2id hashes and back into yes or no
// (Hasher), with memory bounded by a setting whatever arrives.
//
// The policy is that of NIST SP 800-63B-4 §3.1.1.2 for passwords that are the only factor: length and a block list, no
// composition rules, no truncation, any Unicode. A password is compared and hashed in Unicode normalization form C, as RFC 8265
// §4.2.2 has it, because keyboards differ in how they send the same letter.
//
// It knows neither users nor stores, and no error of this package contains a password or a hash.
package password
