package indexer

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
)

// Credentials, certificate authority, headers and compression as configured; the
// server need not say that it is Elasticsearch.
func TestRequestAsConfigured(t *testing.T) {
	var got http.Header
	var query string
	es := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, query = r.Header.Clone(), r.URL.RawQuery
		got.Set("Length", time.Duration(r.ContentLength).String())
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"errors":false,"items":[]}`)
	}))
	defer es.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: es.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(change func(*config.Elasticsearch), header, want string) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := (&world{}).output("online", es.URL)
		o.Elasticsearch.TLS = config.TLS{Enabled: true, CAFile: ca}
		change(&o.Elasticsearch)
		out := newBareOutput(t, ctx, o)
		c := out.bareClaim(&place{})
		out.take(ctx, c, []kafka.Record{{Value: line("x")}})
		select {
		case <-c.idle:
		case <-time.After(10 * time.Second):
			t.Fatalf("not finished: %v", *out.target.trouble.Load())
		}
		if got.Get(header) != want {
			t.Errorf("%s: got %q, want %q", header, got.Get(header), want)
		}
		if got.Get("Length") == "-1ns" || got.Get("Content-Type") != "application/x-ndjson" || got.Get("X-Elastic-Event-Count") != "1" {
			t.Errorf("headers %v", got)
		}
		if query != "filter_path=errors%2Citems.%2A.status%2Citems.%2A.error.type%2Citems.%2A.error.reason%2Citems.%2A.error.caused_by.type%2Citems.%2A.error.caused_by.reason" {
			t.Errorf("query %s", query)
		}
	}
	f(func(c *config.Elasticsearch) { c.APIKey = "a2V5" }, "Authorization", "APIKey a2V5")
	f(func(c *config.Elasticsearch) { c.Username, c.Password = "u", "p" }, "Authorization", "Basic dTpw")
	f(func(c *config.Elasticsearch) { c.Compression = 1 }, "Content-Encoding", "gzip")
	f(func(c *config.Elasticsearch) { c.Compression = 0 }, "Content-Encoding", "")
}

// A server that answers _bulk with something else stores nothing, whatever its status.
func TestWrongServer(t *testing.T) {
	es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "<html>It works!</html>")
	}))
	defer es.Close()
	ctx, cancel := context.WithCancel(t.Context())
	out := newBareOutput(t, ctx, (&world{}).output("online", es.URL))
	c := out.bareClaim(&place{})
	out.take(ctx, c, []kafka.Record{{Value: line("x")}})
	(&world{t: t}).until("a refusal", func() bool { return out.target.trouble.Load() != nil })
	if got := *out.target.trouble.Load(); !strings.Contains(got, `starts with "<html>It works!`) || !strings.Contains(got, "check the hosts of the output") {
		t.Errorf("trouble %s", got)
	}
	if c.open.Load() != 1 {
		t.Error("an event was finished that nobody has stored")
	}
	cancel()
	out.target.flushes.Wait()
}

// An indexer without events finds out whether Elasticsearch is there.
func TestIdleTargetIsReady(t *testing.T) {
	tries := 0
	es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++
		w.WriteHeader([]int{503, 401, 403}[min(tries, 3)-1])
	}))
	defer es.Close()
	o := (&world{}).output("online", es.URL)
	out := newBareOutput(t, t.Context(), o)
	if down, _ := out.target.health.Down(); down == 0 {
		t.Error("ready before any answer")
	}
	out.target.greet(t.Context())
	if down, err := out.target.health.Down(); down != 0 || tries != 3 {
		t.Errorf("down %v after %d answers: %v", down, tries, err)
	}
}

// A bulk's arena is not used again while net/http may still read it: a body counts as
// free only when it has been closed.
func TestBodyIsWaitedFor(t *testing.T) {
	b := newBody([]byte("x"))
	tr := bodyTransport{roundTripper(func(r *http.Request) (*http.Response, error) {
		go func() {
			time.Sleep(10 * time.Millisecond)
			r.Body.Close()
			r.Body.Close() // as net/http may
		}()
		return nil, io.ErrUnexpectedEOF
	})}
	req, _ := http.NewRequest(http.MethodPost, "http://x", b)
	if _, err := tr.RoundTrip(req); err == nil || !b.handed || req.ContentLength != 1 {
		t.Errorf("error %v, handed %v, length %d", err, b.handed, req.ContentLength)
	}
	<-b.closed
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestKeepMovesRefusedItemsTogether(t *testing.T) {
	b := &bulk{buf: []byte("aabbbcdddd")}
	for i, end := range []int{2, 5, 6, 10} {
		v := indexed
		if i == 1 || i == 3 {
			v = again
		}
		b.items = append(b.items, item{end: end, verdict: v, record: kafka.Record{Offset: int64(i)}})
	}
	b.keep()
	if string(b.buf) != "bbbdddd" || len(b.items) != 2 || b.items[0].end != 3 || b.items[1].end != 7 || b.items[1].record.Offset != 3 || b.from(1) != 3 {
		t.Errorf("%s %+v", b.buf, b.items)
	}
}
