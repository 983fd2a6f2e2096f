package document

import (
	"testing"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
)

// BenchmarkEncode is a record to its two lines of the bulk body: event head, parse,
// document.
func BenchmarkEncode(b *testing.B) {
	for _, l := range samples.Lines {
		b.Run(l.Name, func(b *testing.B) {
			e := newEncoder(b, "sluice-{yyyy.MM.dd}")
			r := kafka.Record{Value: samples.Event(l.Line), Offset: 42, Time: samples.ReadTime}
			dst := e.Append(nil, &r, "logs", 3)
			b.SetBytes(int64(len(r.Value)))
			b.ReportAllocs()
			for b.Loop() {
				dst = e.Append(dst[:0], &r, "logs", 3)
			}
		})
	}
}
