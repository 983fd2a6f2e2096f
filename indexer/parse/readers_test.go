package parse

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/valyala/fastjson"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/jsontext"
)

// BenchmarkJSONReaders is why the reader is our own: it must validate, find doubled
// keys, and give each member's bytes as written (1.0 stays 1.0), without memory.
func BenchmarkJSONReaders(b *testing.B) {
	for _, l := range samples.Lines {
		if !strings.HasPrefix(l.Name, "json") {
			continue
		}
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
		s := jsontext.Object{Unique: true}
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
