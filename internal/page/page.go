// Package page is the search page of `sluice up`: one HTML file that loads nothing and asks
// the Elasticsearch API below which it is served.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
)

//go:embed page.html
var text []byte

// policy lets the browser run the one script and the one style sheet of the page and talk to
// the server that it came from, and nothing else; so even markup in a log line could not do
// harm.
var policy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"script-src 'sha256-" + inlineHash("script") + "'; style-src 'sha256-" + inlineHash("style") + "'"

// inlineHash is the hash of what the one element with tag contains.
func inlineHash(tag string) string {
	_, rest, _ := bytes.Cut(text, []byte("<"+tag+">"))
	inside, _, _ := bytes.Cut(rest, []byte("</"+tag+">"))
	sum := sha256.Sum256(inside)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Serve answers any request with the page. It is safe for concurrent use.
func Serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	w.Write(text)
}
