package indexer

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"github.com/valyala/fastjson"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// pad makes a line about 1 KB long, the average that the stage is built for.
func pad(s string) string { return s + strings.Repeat(" the order was taken", (1000-len(s))/20) }

var benchLines = []struct{ name, line string }{
	{"none", pad(`	at com.qunar.order.OrderService.take(OrderService.java:120)`)},
	{"logback", pad(`2026-11-21 08:57:47.123 INFO  [http-nio-8080-exec-1] c.q.o.OrderService - id=7919 user="u1"`)},
	{"klog", pad(`I1121 08:57:47.123456    1234 server.go:12] text`)},
	{"nginx", pad(`10.1.2.3 - - [21/Nov/2026:08:57:47 +0800] "GET /order/7919 HTTP/1.1" 200 123 "-" "curl/8"`)},
	{"syslog", pad(`<34>Nov 21 08:57:47 web1 app[123]: text`)},
	{"json", `{"time":"2026-11-21T08:57:47.123Z","level":"INFO","logger":"c.q.o.OrderService","thread":"exec-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","order":7919,"user":{"id":17,"city":"上海"},"tags":["a","b"],"msg":"` + pad("taken") + `"}`},
	{"json many members", `{"time":"2026-11-21T08:57:47.123Z","level":"INFO","msg":"m"` + func() (s string) {
		for i := range 40 {
			s += `,"member` + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `":"value ` + string(rune('a'+i%26)) + `"`
		}
		return s
	}() + `}`},
	{"logfmt", `time=2026-11-21T08:57:47.123Z level=info msg="` + pad("taken") + `" order=7919 user=17`},
}

func BenchmarkParse(b *testing.B) {
	for _, l := range benchLines {
		b.Run(l.name, func(b *testing.B) {
			p := newParser("Asia/Shanghai")
			m := schemas.AppendString(nil, l.line)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				p.parse(m, readTime, true)
			}
		})
	}
}

// BenchmarkEncode is a record to its two lines of the bulk body: event head, parse,
// document.
func BenchmarkEncode(b *testing.B) {
	for _, l := range benchLines {
		b.Run(l.name, func(b *testing.B) {
			e := newEncoder(b, "sluice-{yyyy.MM.dd}")
			r := kafka.Record{Value: line(l.line), Offset: 42, Time: readTime}
			dst := e.append(nil, &r, "ecs", "logs", 3)
			b.SetBytes(int64(len(r.Value)))
			b.ReportAllocs()
			for b.Loop() {
				dst = e.append(dst[:0], &r, "ecs", "logs", 3)
			}
		})
	}
}

// BenchmarkJSONReaders is why the scanner is our own: it must validate, find doubled
// keys, and give each member's bytes as written (1.0 stays 1.0), without memory.
func BenchmarkJSONReaders(b *testing.B) {
	for _, l := range benchLines {
		if !strings.HasPrefix(l.name, "json") {
			continue
		}
		text := []byte(l.line)
		run := func(name string, f func() bool) {
			b.Run(l.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if !f() {
						b.Fatal("no object")
					}
				}
			})
		}
		s := scanner{unique: true}
		run("scanner", func() bool { return s.object(text) })
		var fp fastjson.Parser
		var out []byte
		run("fastjson", func() bool { // parses and writes the members again
			v, err := fp.ParseBytes(text)
			if err != nil {
				return false
			}
			out = out[:0]
			v.GetObject().Visit(func(key []byte, v *fastjson.Value) { out = v.MarshalTo(out) })
			return true
		})
		run("gjson", func() bool { // checks, then goes over the members
			if !gjson.ValidBytes(text) {
				return false
			}
			out = out[:0]
			gjson.ParseBytes(text).ForEach(func(_, v gjson.Result) bool {
				out = append(out, v.Raw...)
				return true
			})
			return true
		})
	}
}

// BenchmarkLoop is the stage without Kafka against an Elasticsearch that answers 201 to
// all and reads nothing but the body: parse, fill, compress, post, settle.
func BenchmarkLoop(b *testing.B) {
	for _, level := range []int{0, 1} {
		b.Run([]string{"plain", "gzip 1"}[level], func(b *testing.B) {
			es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				io.WriteString(w, `{"errors":false,"items":[]}`)
			}))
			defer es.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			o := (&world{}).output("online", es.URL)
			o.Bulk.Bytes, o.Bulk.Count, o.Elasticsearch.Compression, o.Elasticsearch.Timeout = 8<<20, 5000, level, 60e9
			out := newBareOutput(b, ctx, o)
			p := &place{}
			c := out.bareClaim(p)
			records := make([]kafka.Record, 1000)
			size := 0
			for i := range records {
				records[i] = kafka.Record{Value: line(benchLines[i%len(benchLines)].line), Offset: int64(i), Time: readTime}
				size += len(records[i].Value)
			}
			b.SetBytes(int64(size / len(records)))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(records) {
				out.take(ctx, c, records[:min(len(records), b.N-n)])
			}
			for c.open.Load() > 0 {
				out.target.flushIf(func(*bulk) bool { return true })
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			if int(p.done.Load()) != b.N {
				b.Fatalf("%d of %d finished", p.done.Load(), b.N)
			}
			cancel()
			out.target.flushes.Wait()
		})
	}
}
