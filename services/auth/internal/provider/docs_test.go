package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lilypad.example/services/auth/internal/provider"
)

// The examples in the guides are files that the service accepts.
func TestTheProvidersFilesInTheGuidesAreValid(t *testing.T) {
	pages, err := filepath.Glob("../../../../docs/guides/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	block := regexp.MustCompile("(?ms)^```yaml$\n(.*?)\n```$")
	files := regexp.MustCompile(`(\w+)_file: (\S+)`)
	dir, checked := t.TempDir(), 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range block.FindAllStringSubmatch(string(text), -1) {
			example := found[1]
			if !strings.Contains("\n"+example, "\nproviders:\n") {
				continue
			}
			checked++
			example = files.ReplaceAllStringFunc(example, func(setting string) string {
				kind, path, _ := strings.Cut(setting, "_file: ")
				return kind + "_file: " + credentialFile(t, dir, kind, filepath.Base(path))
			})
			if all, err := provider.Parse([]byte(example)); err != nil || len(all) == 0 {
				t.Errorf("%s: %v, %d providers, in\n%s", filepath.Base(page), err, len(all), found[1])
			}
		}
	}
	if checked < 10 {
		t.Errorf("found %d examples, want more: has their form changed?", checked)
	}
}

// credentialFile writes what an operator would put into a file of this kind, and returns its path.
func credentialFile(t *testing.T, dir, kind, name string) string {
	t.Helper()
	content := []byte("a secret\n")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "private_key":
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		content = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	case "ca":
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		content = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	path := filepath.Join(dir, kind+"-"+name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
