package main

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/template"

	"lilypad.example/hack/internal/debian"
	"lilypad.example/services/pkg/process"
)

//go:embed page.md
var pageText string

// machine describes the machine of a measurement.
type machine struct {
	Cores          int
	Model, Kernel  string
	Memory         string
	Go             string
	Postgres       string
	Redis          string
	Nginx, HAProxy string
	Wrk            string
}

func describe(ctx context.Context) machine {
	return machine{
		Cores: runtime.NumCPU(), Model: fact("/proc/cpuinfo", "model name"), Memory: fact("/proc/meminfo", "MemTotal"), Kernel: kernel(),
		Go: runtime.Version(), Postgres: version(ctx, filepath.Join(process.PostgresBin(), "postgres"), "--version"),
		Redis: version(ctx, debian.Find("redis-server"), "--version"), Nginx: version(ctx, debian.Find("nginx"), "-v"),
		HAProxy: version(ctx, debian.Find("haproxy"), "-v"), Wrk: version(ctx, debian.Find("wrk"), "-v"),
	}
}

// fact is field for the report, or the text of its error.
func fact(path, name string) string {
	value, err := field(path, name)
	if err != nil {
		return err.Error()
	}
	return value
}

func kernel() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c)) //nolint:gosec // it is int8 on some machines and uint8 on others
	}
	return b.String()
}

func writePage(ctx context.Context, path string, found *figures) error {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	more, err := extrapolate(found)
	if err != nil {
		return err
	}
	var table, text strings.Builder
	if err := found.print(&table); err != nil {
		return err
	}
	if err := page.Execute(&text, struct {
		machine

		Table string
		Scale scale
	}{describe(ctx), strings.TrimSpace(table.String()), more}); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o644) //nolint:gosec // a page of the documentation
}
