// Package shiptest has what tests of the shipper's packages share: lines as they are in
// log files, and events as tests look at them.
package shiptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Event is what a test wants to know of one.
type Event struct {
	Meta struct {
		ID string `json:"_id"`
	} `json:"@metadata"`
	Time    string `json:"@timestamp"`
	Message string `json:"message"`
	Stream  string `json:"stream"`
	Log     struct {
		Offset     int64    `json:"offset"`
		Size       int64    `json:"size"`
		Flags      []string `json:"flags"`
		Source     string   `json:"source"`
		Generation string   `json:"generation"`
		File       struct {
			Name string `json:"name"`
			Path string `json:"path"`
		} `json:"file"`
	} `json:"log"`
	Container struct {
		ID, Name string
		Labels   map[string]string
	} `json:"container"`
	Mesos    map[string]string `json:"mesos"`
	Marathon map[string]string `json:"marathon"`
	Service  map[string]string `json:"service"`
	Labels   map[string]string `json:"labels"`
	Tags     []string          `json:"tags"`
}

// DockerJSON is a line as dockerd writes it.
func DockerJSON(stream, log string, at time.Time) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(true)
	if err := enc.Encode(log); err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"log":%s,"stream":"%s","time":"%s"}`+"\n", bytes.TrimSpace(b.Bytes()), stream, at.UTC().Format(time.RFC3339Nano))
}

// Pieces16 is text as dockerd writes it: cut at 16 KiB.
func Pieces16(stream, text string, at time.Time) string {
	var b strings.Builder
	for i := 0; ; i++ {
		n := min(len(text), 16384)
		b.WriteString(DockerJSON(stream, text[:n], at.Add(time.Duration(i))))
		if text = text[n:]; text == "" {
			return b.String()
		}
	}
}

// Lines are numbered lines.
func Lines(prefix string, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%s%d\n", prefix, i)
	}
	return b.String()
}

// Append adds text to a file, which it creates if there is none.
func Append(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Sample is an application's line of about a KiB on average, over rising n.
func Sample(n int) string {
	return "2026-11-21 08:57:47.123 INFO  [http-nio-8080-exec-12] com.shop.OrderService - order ua=\"Mozilla/5.0 (iPhone)\" " + strings.Repeat("key=value ", n%180)
}

// Decode reads an event.
func Decode(t testing.TB, value []byte) (e Event) {
	t.Helper()
	if err := json.Unmarshal(value, &e); err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	return e
}
