package static_test

import (
	"compress/gzip"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"lilypad.example/services/frontend/static"
)

func load(t *testing.T) *static.Assets {
	t.Helper()
	a, err := static.Load()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t *testing.T, a *static.Assets, path string, header ...string) (*httptest.ResponseRecorder, bool) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	found := a.Serve(w, r)
	return w, found
}

func TestAFileIsKeptForEverUnderItsHashOnly(t *testing.T) {
	a := load(t)
	for name, kind := range map[string]string{"lilypad.css": "text/css; charset=utf-8", "logo.svg": "image/svg+xml", "frogs/glass-frog.svg": "image/svg+xml"} {
		w, ok := get(t, a, a.URL(name))
		if !ok || w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: found %t, status %d, header %v, want an immutable 200 of its type", a.URL(name), ok, w.Code, w.Header())
		}
		// A page of another release must find the file, but this content must not be cached forever
		// under that URL.
		for _, path := range []string{"/static/" + name, "/static/" + name + "?v=0123456789ab"} {
			if w, ok := get(t, a, path); !ok || strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s: found %t, Cache-Control %q, want it without immutable", path, ok, w.Header().Get("Cache-Control"))
			}
		}
		w, _ = get(t, a, a.URL(name), "If-None-Match", w.Header().Get("ETag"))
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s with If-None-Match: status %d, want 304 without a body", name, w.Code)
		}
	}
}

func TestCompressedOnlyForWhoAsks(t *testing.T) {
	a := load(t)
	plain, _ := get(t, a, "/static/lilypad.css")
	for accept, want := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "deflate, GZIP": true, "": false, "br": false, "gzip;q=0": false, "identity": false} {
		w, _ := get(t, a, "/static/lilypad.css", "Accept-Encoding", accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: compressed %t, want %t, and Vary", accept, got, want)
		}
		body := io.Reader(w.Body)
		if want {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		if b, err := io.ReadAll(body); err != nil || string(b) != plain.Body.String() {
			t.Errorf("Accept-Encoding %q: body differs from the plain one, error %v", accept, err)
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	a := load(t)
	for _, path := range []string{"/static/", "/static/frogs", "/static/frogs/", "/static/static.go", "/static/../static/logo.svg", "/static//logo.svg", "/static/LOGO.svg", "/static/frogs/toad.svg"} {
		if w, ok := get(t, a, path); ok {
			t.Errorf("%s: served with status %d, want not found", path, w.Code)
		}
	}
}

// A drawing can be opened as a document of its own: it must contain no active or external content,
// and be small.
func TestDrawings(t *testing.T) {
	a := load(t)
	if n := len(a.Drawings()); n < 14 {
		t.Errorf("%d drawings, want at least 14", n)
	}
	for _, d := range a.Drawings() {
		w, ok := get(t, a, "/static/frogs/"+d.ID+".svg")
		if !ok || d.Name == "" {
			t.Fatalf("drawing %+v has no file or no title", d)
		}
		svg := w.Body.String()
		if len(svg) > 10<<10 || !strings.Contains(svg, `viewBox="0 0 700 500"`) {
			t.Errorf("%s: %d bytes, want at most 10 KiB and a view box of 700 by 500", d.ID, len(svg))
		}
		harmless(t, d.ID, svg)
	}
	w, _ := get(t, a, "/static/logo.svg")
	harmless(t, "logo", w.Body.String())
}

func harmless(t *testing.T, name, svg string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch element.Name.Local {
		case "script", "style", "image", "foreignObject", "animate", "set", "a":
			t.Errorf("%s: has a forbidden element <%s>", name, element.Name.Local)
		}
		for _, attr := range element.Attr {
			outside := attr.Name.Local == "href" && !strings.HasPrefix(attr.Value, "#")
			if outside || attr.Name.Local == "style" || strings.HasPrefix(attr.Name.Local, "on") || strings.Contains(attr.Value, "url(") && !strings.Contains(attr.Value, "url(#") {
				t.Errorf("%s: has a forbidden attribute %s=%q", name, attr.Name.Local, attr.Value)
			}
		}
	}
}

// The catalogue belongs to the frogs service, the drawings to the frontend: both must name the same
// frogs. The test reads the source, because services do not import each other.
func TestEveryFrogOfTheCatalogueHasItsDrawing(t *testing.T) {
	source, err := os.ReadFile("../../frogs/internal/frog/catalogue.go")
	if err != nil {
		t.Fatal(err)
	}
	catalogue := make(map[string]string)
	for _, m := range regexp.MustCompile(`\{"([a-z-]+)", "([^"]+)", "[^"]+"\}`).FindAllStringSubmatch(string(source), -1) {
		catalogue[m[1]] = m[2]
	}
	a := load(t)
	for _, d := range a.Drawings() {
		if catalogue[d.ID] != d.Name {
			t.Errorf("drawing %s has the title %q, want %q as in the catalogue", d.ID, d.Name, catalogue[d.ID])
		}
		delete(catalogue, d.ID)
	}
	if len(catalogue) > 0 {
		t.Errorf("frogs without a drawing: %v", catalogue)
	}
}
