package parse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/jsontext"
)

func BenchmarkParse(b *testing.B) {
	for _, l := range samples.Lines {
		b.Run(l.Name, func(b *testing.B) {
			p := newParser("Asia/Shanghai")
			m := jsontext.Append(nil, l.Line)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				p.Parse(m, samples.ReadTime, Options{})
			}
		})
	}
}

// BenchmarkDoubling prints the time for a byte of lines that are made to be gone over
// again by a reader that looks for an end: it does not grow with their length.
func BenchmarkDoubling(b *testing.B) {
	for _, unit := range []string{`{"a":`, `{"a":1,`, `a=`, `a="`, `a={ `, `[`, `(`, `<`, `\"`, `"`, `{'a':`, "1.2.3.4 ", "\x1b[1m", "\n", "\n\tat a.B", `Caused by: `, "a.b.C: "} {
		for n := 1 << 10; n <= 1<<16; n *= 4 {
			b.Run(fmt.Sprintf("%q/%d", unit, n), func(b *testing.B) {
				p := newParser("UTC")
				m := jsontext.Append(nil, strings.Repeat(unit, n/len(unit)))
				for b.Loop() {
					p.Parse(m, samples.ReadTime, Options{})
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(m)), "ns/byte")
			})
		}
	}
}
