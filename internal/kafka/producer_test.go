package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// What is appended is stored as it was, with every codec, over several partitions and
// brokers, in order and with one callback a record.
func TestEveryCodec(t *testing.T) {
	for _, codec := range []string{"none", "lz4", "zstd", "snappy", "gzip"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(5, "logs"))
			o := produceOptions()
			o.Compression = codec
			o.BatchBytes = 20_000
			s := newSink(t)
			p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
			if n, err := p.Partitions(t.Context(), "logs"); n != 5 || err != nil {
				t.Fatalf("partitions = %d, %v, want 5", n, err)
			}
			f := newFeeder(t, p)
			for i := range 5000 {
				f.add("logs", int32(i%5), 100)
			}
			drain(t, p)
			if acked, refused := s.counts(); acked != 5000 || refused != 0 {
				t.Errorf("acked %d, refused %d, want 5000, 0", acked, refused)
			}
			f.wantStored(k.ListenAddrs())
		})
	}
}
