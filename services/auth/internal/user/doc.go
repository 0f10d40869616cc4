// Package user holds accounts: what a valid one is (ParseEmail, ParseName), where they are kept (Store, a contract in words with a
// conformance suite in storetest), and the two things that are done with them: Service.Register and Service.Authenticate.
//
// The invariant: whoever asks cannot tell an unknown address from a wrong password or a disabled account, by the answer or by the
// work it takes. It knows no HTTP, no database, no sessions and no rate limits; those are asked before it.
package user
