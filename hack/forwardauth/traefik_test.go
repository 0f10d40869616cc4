//go:build traefik

package forwardauth

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lilypad.example/services/pkg/process"
)

// TestBehindTraefik needs the program named by TRAEFIK, which hack/test-forward-auth compiles.
func TestBehindTraefik(t *testing.T) {
	l := newLab(t)
	address := l.free()
	config := l.file("dynamic.yaml", strings.ReplaceAll(l.recipe("Traefik"), "Host(`frogs.example`)", "PathPrefix(`/`)")+fmt.Sprintf(`
  services:
    sidecar: {loadBalancer: {servers: [{url: "http://%s"}]}}
    app: {loadBalancer: {servers: [{url: "http://%s"}]}}
`, l.browser, l.app))
	l.start("traefik", process.Command(t.Context(), os.Getenv("TRAEFIK"), "--entryPoints.web.address="+address,
		"--providers.file.filename="+config, "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"), "http://"+address+"/public")
	l.serves(proxy{address: address, rotates: true})
}
