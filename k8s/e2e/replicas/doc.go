// Package replicas tests the product as several replicas of real processes:
// three auth services, three sidecars, a Redis and a PostgreSQL, which a test
// kills, restarts, cuts off and swaps under load.
//
// A test makes a world, starts visitors, and breaks something. A world is:
//
//	visitors ─► sidecar-1..3 ─► upstream (in the test; it checks who is let through)
//	               │ a door each
//	               ▼
//	            auth-1..3 ─► door ─► redis
//	                └──────► door ─► PostgreSQL, a database of its own
//
// A program is a process that comes back under the same address; a door is an
// address that stays while what is behind it goes, comes or is another.
// Everything listens on loopback addresses of its own, so that no port is ever
// taken, and ends with the test however that ends.
//
// PostgreSQL is the one of `make test`, named by LILYPAD_TEST_POSTGRES.
package replicas
