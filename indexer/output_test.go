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
	"github.com/sluicelog/sluice/indexer/internal/samples"
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
		answerAll(w, r)
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
		c := out.newPartition(&bareMarker{}, "")
		out.take(ctx, c, []kafka.View{{Value: samples.Event("x")}})
		select {
		case <-c.Idle():
		case <-time.After(10 * time.Second):
			t.Fatalf("not finished: %s", out.output.Trouble())
		}
		if got.Get(header) != want {
			t.Errorf("%s: got %q, want %q", header, got.Get(header), want)
		}
		if got.Get("Length") == "-1ns" || got.Get("Content-Type") != "application/x-ndjson" || got.Get("X-Elastic-Event-Count") != "1" {
			t.Errorf("headers %v", got)
		}
		if query, _ := strings.CutSuffix(query, "&pipeline=a+b&timeout=5s"); query != "filter_path=errors%2Citems.%2A.status%2Citems.%2A.error.type%2Citems.%2A.error.reason%2Citems.%2A.error.caused_by.type%2Citems.%2A.error.caused_by.reason" {
			t.Errorf("query %s", query)
		}
	}
	f(func(c *config.Elasticsearch) { c.APIKey = "a2V5" }, "Authorization", "APIKey a2V5")
	f(func(c *config.Elasticsearch) { c.Username, c.Password = "u", "p" }, "Authorization", "Basic dTpw")
	f(func(c *config.Elasticsearch) { c.Compression = 1 }, "Content-Encoding", "gzip")
	f(func(c *config.Elasticsearch) { c.Compression = 0 }, "Content-Encoding", "")
	f(func(c *config.Elasticsearch) {
		c.Headers, c.Parameters = map[string]string{"x-tenant": "logs"}, map[string]string{"timeout": "5s", "pipeline": "a b"}
	}, "X-Tenant", "logs")
	if !strings.HasSuffix(query, "&pipeline=a+b&timeout=5s") {
		t.Errorf("query %s", query)
	}
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
	c := out.newPartition(&bareMarker{}, "")
	out.take(ctx, c, []kafka.View{{Value: samples.Event("x")}})
	(&world{t: t}).until("a refusal", func() bool { return out.output.Trouble() != "" })
	if got := out.output.Trouble(); !strings.Contains(got, `starts with "<html>It works!`) || !strings.Contains(got, "check the hosts of the output") {
		t.Errorf("trouble %s", got)
	}
	if c.Open() != 1 {
		t.Error("an event was finished that nobody has stored")
	}
	cancel()
	out.output.Wait()
}

// An indexer without events finds out whether Elasticsearch is there.
func TestIdleOutputIsReady(t *testing.T) {
	tries := 0
	es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++
		w.WriteHeader([]int{503, 401, 403}[min(tries, 3)-1])
	}))
	defer es.Close()
	o := (&world{}).output("online", es.URL)
	out := newBareOutput(t, t.Context(), o)
	if down, _ := out.output.Health.Down(); down == 0 {
		t.Error("ready before any answer")
	}
	out.output.Greet()
	if down, err := out.output.Health.Down(); down != 0 || tries != 3 {
		t.Errorf("down %v after %d answers: %v", down, tries, err)
	}
}
