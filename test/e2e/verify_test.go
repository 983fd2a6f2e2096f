//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/test/e2e/workload"
	"github.com/sluicelog/sluice/test/servers"
)

// document is what the tests look at of a document in Elasticsearch.
type document struct {
	Timestamp string `json:"@timestamp"`
	Message   string `json:"message"`
	Log       struct {
		Offset, Size int64
		File         struct{ Name, Path string }
	}
	Container struct{ ID, Name string }
	Mesos     struct {
		TaskID string `json:"task_id"`
	}
	Marathon struct {
		AppID   string `json:"app_id"`
		Version string
	}
	Host   struct{ Name string }
	Labels map[string]string
	Event  struct{ Created, Original string }
	App    json.RawMessage
}

// written is when Docker took the line: event.created where the line told a time of
// its own.
func (d *document) written() string { return cmp.Or(d.Event.Created, d.Timestamp) }

// line is the line as it was written.
func (d *document) line() string { return cmp.Or(d.Event.Original, d.Message) }

// count is how many documents Elasticsearch finds, after a refresh.
func (s *site) count(t *testing.T) int {
	t.Helper()
	servers.Call(t.Context(), "POST", s.es.URL+"/sluice-*/_refresh", "")
	text, err := get(t.Context(), s.es.URL+"/sluice-*/_count")
	if err != nil {
		return -1
	}
	var n struct{ Count int }
	if err := json.Unmarshal(text, &n); err != nil {
		t.Fatalf("count: %v", err)
	}
	return n.Count
}

// all reads every document, by container name, and fails where an id is met twice.
func (s *site) all(t *testing.T) map[string][]document {
	t.Helper()
	var page struct {
		ScrollID string `json:"_scroll_id"`
		Hits     struct {
			Hits []struct {
				ID     string   `json:"_id"`
				Source document `json:"_source"`
			}
		}
	}
	out, ids := map[string][]document{}, map[string]bool{}
	text, err := servers.Call(t.Context(), "POST", s.es.URL+"/sluice-*/_search?scroll=2m", `{"size":5000,"sort":["_doc"]}`)
	for {
		if err != nil {
			t.Fatal(err)
		}
		page.Hits.Hits = nil
		if err := json.Unmarshal(text, &page); err != nil {
			t.Fatalf("search: %v", err)
		}
		if len(page.Hits.Hits) == 0 {
			return out
		}
		for _, h := range page.Hits.Hits {
			if ids[h.ID] {
				t.Errorf("id %s twice", h.ID)
			}
			ids[h.ID] = true
			out[h.Source.Container.Name] = append(out[h.Source.Container.Name], h.Source)
		}
		text, err = servers.Call(t.Context(), "POST", s.es.URL+"/_search/scroll", fmt.Sprintf(`{"scroll":"2m","scroll_id":%q}`, page.ScrollID))
	}
}

// verify holds the documents of a container against the lines it wrote: each once, in
// order, byte by byte, with its tags; and their sizes against the log files.
func (c *container) verify(t *testing.T, docs []document) {
	t.Helper()
	if len(docs) != c.lines() {
		t.Errorf("%s: %d documents, want %d", c.name, len(docs), c.lines())
	}
	byTime := func(a, b document) int { return cmp.Compare(a.written(), b.written()) }
	slices.SortFunc(docs, byTime)
	next, wrong := map[string]int{}, 0
	var size int64
	for _, d := range docs {
		size += d.Log.Size
		if d.Mesos.TaskID != c.task || d.Marathon.AppID != c.app || d.Host.Name != hostName || d.Labels["dc"] != "dc1" || d.Labels["team"] != "order" || d.Container.ID != c.id {
			t.Fatalf("%s: tags of %+v", c.name, d)
		}
		if _, err := time.Parse(time.RFC3339Nano, d.written()); err != nil {
			t.Fatalf("%s: time of %+v: %v", c.name, d, err)
		}
		name := d.Log.File.Name
		w, ok := c.writers[name]
		if !ok {
			t.Fatalf("%s: file name %q of %+v", c.name, name, d)
		}
		i := next[name]
		next[name]++
		want, got := "", d.line()
		if i < w.Count {
			want = workload.Cleaned(w.At(i))
		}
		if name != "" && d.Event.Original != "" {
			got = strings.TrimPrefix(got, name+": ")
		}
		if got != want {
			if wrong++; wrong <= 3 {
				t.Errorf("%s %s line %d:\ngot  %.300q\nwant %.300q", c.name, name, i, got, want)
			}
		}
	}
	if wrong > 3 {
		t.Errorf("%s: %d lines in all are not as written", c.name, wrong)
	}
	if want, _ := c.logBytes(t); size != want {
		t.Errorf("%s: log.size adds up to %d, its files have %d bytes", c.name, size, want)
	}
}
