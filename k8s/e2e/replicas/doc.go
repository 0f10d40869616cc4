// Package replicas tests three auth services, three sidecars, Redis and PostgreSQL as processes
// that a test kills, restarts, disconnects and replaces under load.
//
// A test creates a world, starts visitors, and breaks something. A world is:
//
//	visitors ─► sidecar-1..3 ─► upstream (in the test; it checks the tokens)
//	               │ one door each
//	               ▼
//	            auth-1..3 ─► door ─► redis
//	                └──────► door ─► PostgreSQL, a database of its own
//
// A program is a process that can be restarted at the same address. A door is a TCP proxy whose
// address stays while its targets change. Each listens on a loopback address of its own, so that
// ports never collide.
//
// PostgreSQL is the server of `make test`, at LILYPAD_TEST_POSTGRES.
package replicas
