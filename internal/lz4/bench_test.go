package lz4

import (
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// BenchmarkEvents compresses batches of 512 KiB of events: go test -bench Events
// ./internal/lz4. The snappy and zstd of klauspost stand beside for what they cost and
// save; the lz4 of pierrec is what sarama uses.
func BenchmarkEvents(b *testing.B) {
	all := events(b)
	f := func(name string, pack func(dst, src []byte) []byte) {
		b.Run(name, func(b *testing.B) {
			const size = 512 << 10
			b.SetBytes(size)
			b.ReportAllocs()
			dst := make([]byte, 0, 2*size)
			i, in, out := 0, 0, 0
			for b.Loop() {
				src := all[i : i+size]
				if i += size / 4; i+size > len(all) {
					i = 0
				}
				packed := pack(dst, src)
				in, out = in+len(src), out+len(packed)
			}
			b.ReportMetric(float64(in)/float64(out), "ratio")
		})
	}
	f("lz4", new(Encoder).AppendFrame)
	f("pierrec-lz4", pierrec(64<<10))
	f("pierrec-lz4-256k", pierrec(256<<10))
	f("klauspost-snappy", func(dst, src []byte) []byte { return s2.EncodeSnappy(dst[:cap(dst)], src) })
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	f("klauspost-zstd-fastest", func(dst, src []byte) []byte { return z.EncodeAll(src, dst) })
}

// pierrec is that library's block compressor without its frame's writer, which copies.
func pierrec(block int) func(dst, src []byte) []byte {
	var c lz4.Compressor
	return func(dst, src []byte) []byte {
		for len(src) > 0 {
			part := src[:min(len(src), block)]
			src = src[len(part):]
			n, err := c.CompressBlock(part, dst[len(dst):cap(dst)])
			if err != nil {
				panic(err)
			}
			dst = dst[:len(dst)+n]
		}
		return dst
	}
}
