package embedded

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// event is a document as the indexer sends them.
func event(i int, at time.Time) string {
	levels := []string{"info", "info", "info", "debug", "warn", "error"}
	return fmt.Sprintf(`{"@timestamp":%q,"message":"2026-11-20 10:00:00,%03d INFO  [http-nio-8080-exec-%d] com.acme.order.OrderController - order %d of customer %d accepted in %d ms, total %d.%02d EUR, session 5f3a%06x","stream":"stdout","log":{"offset":%d,"size":311,"level":%q,"file":{"path":"/var/lib/docker/containers/4f1b2c/4f1b2c-json.log"}},"container":{"id":"4f1b2c0d%04x","name":"order-%d","image":{"name":"registry/acme/order:1.27"}},"mesos":{"task_id":"prod_order.%d","framework_id":"f-0001","agent_id":"S%d"},"marathon":{"app_id":"/prod/order-%d","version":"2026-11-01T00:00:00.000Z"},"host":{"name":"node-%02d"},"labels":{"dc":"eu1"},"event":{"dataset":"docker","created":%q},"app":{"order":%d,"customer":"c%d"}}`,
		at.Format(time.RFC3339Nano), i%1000, i%50, i, i%977, i%300, i%500, i%100, i, i*311, levels[i%len(levels)], i%20, i%20, i%20, i%8, i%12, i%16, at.Format(time.RFC3339Nano), i, i%977)
}

func eventBulk(index string, from, n int, base time.Time) []byte {
	var b bytes.Buffer
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "{\"create\":{\"_index\":%q,\"_id\":\"AZq%012d\"}}\n%s\n", index, i, event(i, base.Add(time.Duration(i)*time.Millisecond)))
	}
	return b.Bytes()
}

// BenchmarkStoreBulk is one document of ~900 bytes, in bulks of 1000, four at a time, over
// HTTP, acknowledged on disk.
func BenchmarkStoreBulk(b *testing.B) {
	s := startTestStore(b, StoreOptions{})
	const perBulk = 1000
	base := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	var next atomic.Int64
	b.SetBytes(int64(len(eventBulk("logs", 0, perBulk, base)) / perBulk))
	b.ReportAllocs()
	b.ResetTimer()
	done := make(chan error)
	const clients = 4
	for range clients {
		go func() {
			for {
				from := int(next.Add(perBulk)) - perBulk
				if from >= b.N {
					done <- nil
					return
				}
				r, err := http.Post(s.URL()+"/_bulk?filter_path=errors", "application/x-ndjson", bytes.NewReader(eventBulk("logs", from, perBulk, base)))
				if err != nil {
					done <- err
					return
				}
				r.Body.Close()
			}
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(next.Load()-clients*perBulk)/b.Elapsed().Seconds(), "docs/s")
	b.StopTimer()
	for last := int64(0); ; { // until merging has come to an end
		size, err := dirSize(s.o.Dir)
		if err != nil || size == last {
			break
		}
		last = size
		time.Sleep(time.Second)
	}
	if size, err := dirSize(s.o.Dir); err == nil {
		b.ReportMetric(float64(size)/float64(next.Load()-clients*perBulk), "disk-B/doc")
	}
}

// BenchmarkStoreSearch is what the page asks for: the newest lines and a histogram by level
// over 100,000 documents.
func BenchmarkStoreSearch(b *testing.B) {
	s := startTestStore(b, StoreOptions{})
	base := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for from := 0; from < 100_000; from += 5000 {
		ops, err := parseBulk(eventBulk("logs", from, 5000, base), "")
		if err != nil {
			b.Fatal(err)
		}
		s.run(ops)
	}
	f := func(name, query string) {
		b.Run(name, func(b *testing.B) {
			body := `{"size":100,"track_total_hits":true,"sort":[{"@timestamp":"desc"}],"query":` + query + `,"aggs":{"t":{"date_histogram":{"field":"@timestamp","fixed_interval":"1s"},"aggs":{"l":{"terms":{"field":"log.level"}}}}}}`
			for b.Loop() {
				r, err := http.Post(s.URL()+"/logs*/_search", "application/json", strings.NewReader(body))
				if err != nil || r.StatusCode != 200 {
					b.Fatal(r, err)
				}
				r.Body.Close()
			}
		})
	}
	f("all", `{"match_all":{}}`)
	f("words", `{"query_string":{"query":"customer 42"}}`)
	f("field", `{"term":{"marathon.app_id":"/prod/order-3"}}`)
	f("minute", `{"range":{"@timestamp":{"gte":"2026-11-20T00:01:00.5Z"}}}`)
}
