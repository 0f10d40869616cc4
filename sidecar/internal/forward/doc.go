// Package forward sends an exchange to one fixed upstream and relays the response.
//
// It decides which fields pass. It removes hop-by-hop fields, and the identity, forwarding and
// routing fields of clients, in every spelling; it keeps the sidecar's cookie from both sides; and
// it adds the sidecar's own fields. It pools connections to upstreams and retries requests where
// that is safe.
//
// It knows nothing of sessions or routes: the caller says which fields to add, and whether to relay
// a response or to discard it and send the request again. It does not log; errors carry a reason.
package forward
