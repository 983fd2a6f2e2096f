package parse

import (
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
