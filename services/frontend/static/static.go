// Package static serves the files that are the same for every visitor: the stylesheet and the logo,
// which package look has, and the drawings of the frogs. All are embedded in the binary.
//
// Pages use the URL of a file, which contains a hash of its content, so that the response can be
// cached forever. The path works with any hash, so that pages of the previous release still find
// their files during a rollout.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"lilypad.example/services/pkg/look"
)

//go:embed gallery.css frogs/*.svg
var files embed.FS

// gallery is the part of the stylesheet that only this program needs.
const gallery = "gallery.css"

// Prefix is the path prefix of all files.
const Prefix = "/static/"

const (
	forever = "public, max-age=31536000, immutable"
	briefly = "public, max-age=300"
)

// A Drawing is the drawing of one frog.
type Drawing struct{ ID, Name string }

// Assets is the set of all files. It is immutable.
type Assets struct {
	byName   map[string]asset
	drawings []Drawing
}

type asset struct {
	body, gzipped []byte
	contentType   string
	hash          string
}

// Load prepares the hash, type and compressed form of all files.
func Load() (*Assets, error) {
	a := &Assets{byName: make(map[string]asset)}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil || name == gallery {
			return err
		}
		return a.add(name, body)
	})
	own, err2 := files.ReadFile(gallery)
	err = errors.Join(err, err2,
		a.add("lilypad.css", append([]byte(look.Stylesheet()), own...)), a.add("logo.svg", []byte(look.Logo())))
	if err != nil {
		return nil, fmt.Errorf("static files: %w", err)
	}
	return a, nil
}

func (a *Assets) add(name string, body []byte) error {
	sum := sha256.Sum256(body)
	var gzipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&gzipped, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	a.byName[name] = asset{body, gzipped.Bytes(), contentType(name), hex.EncodeToString(sum[:6])}
	if id, ok := strings.CutPrefix(name, "frogs/"); ok {
		var drawing struct {
			Title string `xml:"title"`
		}
		if err := xml.Unmarshal(body, &drawing); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.drawings = append(a.drawings, Drawing{strings.TrimSuffix(id, ".svg"), drawing.Title})
	}
	return nil
}

// contentType does not depend on the MIME tables of the machine.
func contentType(name string) string {
	if path.Ext(name) == ".svg" {
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// URL returns the URL of a file with its hash, or "" if the file does not exist.
func (a *Assets) URL(name string) string {
	f, ok := a.byName[name]
	if !ok {
		return ""
	}
	return Prefix + name + "?v=" + f.hash
}

// Picture returns the URL of a frog's drawing, or of the logo if there is none: the API may list a
// frog that this release does not know yet.
func (a *Assets) Picture(id string) string {
	if u := a.URL("frogs/" + id + ".svg"); u != "" {
		return u
	}
	return a.URL("logo.svg")
}

// Drawings returns all frogs that have a drawing, ordered by id.
func (a *Assets) Drawings() []Drawing { return a.drawings }

// Serve responds with the file at the request's path, or returns false if there is none.
func (a *Assets) Serve(w http.ResponseWriter, r *http.Request) bool {
	f, ok := a.byName[strings.TrimPrefix(r.URL.Path, Prefix)]
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", briefly)
	if r.URL.Query().Get("v") == f.hash {
		h.Set("Cache-Control", forever)
	}
	body, etag := f.body, `"`+f.hash+`"`
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body, etag = f.gzipped, `"`+f.hash+`-gz"`
	}
	h.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client may have disconnected
	return true
}

// acceptsGzip reports whether Accept-Encoding (RFC 9110 section 12.5.3) names gzip with a weight
// above 0.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			weight, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(params), "q="), 64)
			return err != nil || weight > 0
		}
	}
	return false
}
