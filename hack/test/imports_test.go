package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// These tests check the import rules of docs/architecture.md, transitive imports included.

const (
	ours           = "lilypad.example/"
	processPackage = ours + "services/pkg/process"
)

// listed is a package as `go list -json` describes it.
type listed struct {
	ImportPath   string
	Name         string
	Imports      []string // direct, without tests
	Deps         []string // all, without tests
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T, dir string, workspace bool, pattern string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports,Deps,TestImports,XTestImports", pattern)
	cmd.Dir = filepath.Join("..", "..", dir)
	cmd.Env = append(cmd.Environ(), "GOWORK=off")
	if workspace {
		cmd.Env = append(cmd.Env, "GOWORK=") // use go.work
	}
	out, err := cmd.Output()
	if err != nil {
		if said, ok := err.(*exec.ExitError); ok { //nolint:errorlint // exec returns it bare
			t.Fatalf("go list: %s", said.Stderr)
		}
		t.Fatal(err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		t.Fatalf("no packages in %s", dir)
	}
	return packages
}

// in reports whether path is a package in one of the trees.
func in(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") })
}

// TestModulesImportOnlyContracts: of another service, a module imports the api only. All modules
// may import services/pkg.
func TestModulesImportOnlyContracts(t *testing.T) {
	const (
		pkg     = ours + "services/pkg"
		authAPI = ours + "services/auth/api"
	)
	allowed := []struct {
		module string
		sees   []string
	}{
		{authAPI, nil}, // before services/auth, whose prefix it has
		{pkg, nil},
		{ours + "services/auth", []string{pkg}},
		{ours + "services/frogs", []string{pkg, authAPI}},
		{ours + "services/frontend", []string{pkg, authAPI}},
		{ours + "sidecar", []string{pkg, authAPI}},
	}
	for _, p := range list(t, "", true, "work") {
		i := slices.IndexFunc(allowed, func(a struct {
			module string
			sees   []string
		},
		) bool {
			return in(p.ImportPath, a.module)
		})
		if i < 0 {
			t.Errorf("%s is in an unknown module: add it to this test", p.ImportPath)
			continue
		}
		sees := append([]string{allowed[i].module}, allowed[i].sees...)
		for _, dep := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(dep, ours) && !in(dep, sees...) {
				t.Errorf("%s imports %s", p.ImportPath, dep)
			}
		}
	}
}

// TestLayers: the domain imports no adapter, adapters import the domain, only app imports them all.
func TestLayers(t *testing.T) {
	adapters := []string{"app", "httpapi", "postgres", "redis", "memory", "kubernetes"}
	technology := []string{"github.com/gin-gonic/gin", "github.com/jackc/pgx", "github.com/redis/go-redis", "k8s.io", "net/http"}
	domain := map[string][]string{
		ours + "services/auth/internal/":  {"user", "password", "session", "rollover", "ratelimit", "audit"},
		ours + "services/frogs/internal/": {"frog"},
	}
	for _, p := range list(t, "", true, "work") {
		for tree, nouns := range domain {
			room, ok := strings.CutPrefix(p.ImportPath, tree)
			if !ok {
				continue
			}
			var mayNot []string
			switch {
			case slices.Contains(nouns, room):
				mayNot = append(mayNot, technology...)
				for _, a := range adapters {
					mayNot = append(mayNot, tree+a)
				}
			case room == "httpapi":
				mayNot = []string{tree + "app", tree + "postgres", tree + "redis", tree + "memory", "github.com/jackc/pgx", "github.com/redis/go-redis"}
			case in(room, "postgres", "redis", "memory", "kubernetes"):
				mayNot = []string{tree + "app", tree + "httpapi", "github.com/gin-gonic/gin"}
			}
			for _, imported := range p.Imports {
				if in(imported, mayNot...) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
	}
}

// TestProgramsLinkNoUnwantedPackages checks transitive imports.
func TestProgramsLinkNoUnwantedPackages(t *testing.T) {
	mayNot := map[string][]string{
		"auth": nil, "frogs": {"github.com/redis/go-redis"},
		"frontend": {"github.com/redis/go-redis", "github.com/jackc/pgx", "k8s.io"},
		"sidecar":  {"github.com/redis/go-redis", "github.com/jackc/pgx", "k8s.io", "github.com/gin-gonic/gin"},
	}
	seen := 0
	for _, p := range list(t, "", true, "work") {
		if p.Name != "main" {
			continue
		}
		program := p.ImportPath[strings.LastIndex(p.ImportPath, "/")+1:]
		unwanted, known := mayNot[program]
		if !known {
			t.Errorf("%s is an unknown program: add it to this test", p.ImportPath)
		}
		seen++
		unwanted = append(unwanted, ours+"services/pkg/pgtest", ours+"services/pkg/redistest", ours+"services/pkg/tlstest", processPackage)
		for _, dep := range p.Deps {
			if dep == "testing" || in(dep, unwanted...) {
				t.Errorf("%s links %s", program, dep)
			}
		}
	}
	if seen != len(mayNot) {
		t.Errorf("%d programs, want %d", seen, len(mayNot))
	}
}

// TestToolsImportNothingOfTheProduct: the modules outside the workspace import services/pkg/process
// alone, which starts programs.
func TestToolsImportNothingOfTheProduct(t *testing.T) {
	modules, err := outside(filepath.Join("..", ".."))
	if err != nil || len(modules) < 2 {
		t.Fatalf("modules %v, error %v; want at least two", modules, err)
	}
	for _, module := range modules {
		for _, p := range list(t, module, false, "./...") {
			for _, dep := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
				if strings.HasPrefix(dep, ours) && !in(dep, ours+module, processPackage) {
					t.Errorf("%s imports %s", p.ImportPath, dep)
				}
			}
		}
	}
}
