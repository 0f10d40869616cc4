// Package e2e holds the end-to-end tests.
//
// A scenario is a behavior that a user or an attacker sees. It is written once, for a World: the
// base URL of a running product, and what a test can do to it. TestStandalone runs the scenarios
// against local processes, TestCluster against a cluster. TestApps runs scenarios of its own with
// the example apps of docs/guides behind the sidecar. Scenarios speak HTTP or drive Chromium. They
// import nothing of the product, and know only the name of its cookie.
//
// Choose a suite with -run. TestCluster needs E2E_URL and a cluster, TestApps needs Node.js and the
// npm registry. No test skips.
package e2e
