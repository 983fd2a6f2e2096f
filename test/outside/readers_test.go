package outside

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/valyala/fastjson"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// BenchmarkJSONReaders is why the reader is our own: it must validate, find doubled
// keys, and give each member's bytes as written (1.0 stays 1.0), without memory.
func BenchmarkJSONReaders(b *testing.B) {
	many := `{"time":"2026-11-21T08:57:47.123Z","level":"INFO","msg":"m"`
	for i := range 40 {
		many += fmt.Sprintf(`,"member%c%c":"value %c"`, 'a'+i%26, 'a'+i/26, 'a'+i%26)
	}
	for _, l := range []struct{ Name, Line string }{
		{"json", `{"time":"2026-11-21T08:57:47.123Z","level":"INFO","logger":"c.q.o.OrderService","thread":"exec-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","order":7919,"user":{"id":17,"city":"上海"},"tags":["a","b"],"msg":"` + strings.Repeat("taken ", 120) + `"}`},
		{"json many members", many + "}"},
	} {
		text := []byte(l.Line)
		run := func(name string, f func() bool) {
			b.Run(l.Name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if !f() {
						b.Fatal("no object")
					}
				}
			})
		}
		s := jsontext.Object{Storable: true}
		run("jsontext", func() bool { return s.Read(text) })
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
