package embedded

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
)

// pageHTML is the whole search page: it loads nothing but searches of this store.
//
//go:embed page.html
var pageHTML []byte

// pagePolicy lets the browser run the one script and the one style sheet of the page and
// talk to this store, and nothing else; so even markup in a log line could not do harm.
var pagePolicy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"script-src 'sha256-" + inlineHash("script") + "'; style-src 'sha256-" + inlineHash("style") + "'"

// inlineHash is the hash of what stands in the one element with tag.
func inlineHash(tag string) string {
	_, rest, _ := bytes.Cut(pageHTML, []byte("<"+tag+">"))
	inside, _, _ := bytes.Cut(rest, []byte("</"+tag+">"))
	sum := sha256.Sum256(inside)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (s *Store) page(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	w.Write(pageHTML)
	return nil
}
