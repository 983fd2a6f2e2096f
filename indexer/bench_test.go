package indexer

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
)

// BenchmarkLoop is the stage without Kafka against an Elasticsearch that answers 201 to
// all and reads nothing but the body: parse, fill, compress, post, settle.
func BenchmarkLoop(b *testing.B) {
	for _, level := range []int{0, 1} {
		b.Run([]string{"plain", "gzip 1"}[level], func(b *testing.B) {
			es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				answerAll(w, r)
			}))
			defer es.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			o := (&world{}).output("online", es.URL)
			o.Bulk.Bytes, o.Bulk.Count, o.Elasticsearch.Compression, o.Elasticsearch.Timeout = 8<<20, 5000, level, 60e9
			out := newBareOutput(b, ctx, o)
			p := &bareMarker{}
			c := out.newPartition(p, "")
			records := make([]kafka.View, 1000)
			size := 0
			for i := range records {
				records[i] = kafka.View{Value: samples.Event(samples.Lines[i%len(samples.Lines)].Line), Offset: int64(i), Time: samples.ReadTime.UnixMilli()}
				size += len(records[i].Value)
			}
			b.SetBytes(int64(size / len(records)))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(records) {
				out.take(ctx, c, records[:min(len(records), b.N-n)])
			}
			for c.Open() > 0 {
				out.output.Flush()
				<-c.Idle()
			}
			b.StopTimer()
			if int(p.done.Load()) != b.N {
				b.Fatalf("%d of %d finished", p.done.Load(), b.N)
			}
			cancel()
			out.output.Wait()
		})
	}
}

// answerAll says of each document that it is stored.
func answerAll(w io.Writer, r *http.Request) {
	n, _ := strconv.Atoi(r.Header.Get("X-Elastic-Event-Count"))
	io.WriteString(w, `{"errors":false,"items":[`+strings.Repeat(`{"create":{"status":201}},`, max(0, n-1))+`{"create":{"status":201}}]}`)
}
