// Package e2e holds the end-to-end tests: suites × scenarios.
//
// A scenario is a behavior that a user or an attacker sees, written once over
// a World, which says no more than where the product is. A suite makes the
// World: TestStandalone from local processes, TestCluster from a cluster. Each
// runs every scenario that its World allows. TestApps puts the product before
// the example apps of docs/guides and has scenarios for each. The scenarios
// speak HTTP, or drive Chromium; they import nothing of the product and know
// its cookie by name only.
//
// Choose with -run: TestCluster needs E2E_URL and a cluster, TestApps needs
// Node.js and the npm registry, and no test skips.
package e2e
