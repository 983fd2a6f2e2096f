package verify

import (
	"encoding/json"
	"math/bits"
	"time"
)

// Hist is a distribution of durations in bounded memory: like HdrHistogram, buckets
// that are linear within each power of two, so a quantile is wrong by 1/128 at most.
// Everything from 0 to 19 hours has its bucket; what is longer counts as that long.
// It is for one goroutine.
type Hist struct {
	n      int64
	max    time.Duration
	counts [histSize]uint32
}

const (
	histBits = 7 // of a bucket's precision
	histSize = (37 - histBits) << histBits
)

// Record adds a duration, in microseconds; what is below 0 counts as 0.
func (h *Hist) Record(d time.Duration) {
	d = max(0, d)
	h.n++
	h.max = max(h.max, d)
	h.counts[histIndex(uint64(d/time.Microsecond))]++
}

// histIndex maps 0 to 127 to themselves, and each power of two after them to 128
// buckets (the upper half of a 256-bucket span).
func histIndex(v uint64) int {
	shift := max(0, bits.Len64(v)-histBits-1)
	return min(shift<<histBits+int(v>>shift), histSize-1)
}

// histValue is the highest value of a bucket.
func histValue(i int) uint64 {
	shift := max(0, i>>histBits-1)
	return uint64(i-shift<<histBits+1)<<shift - 1
}

// N is how many were recorded.
func (h *Hist) N() int64 { return h.n }

// Max is exact.
func (h *Hist) Max() time.Duration { return h.max }

// Quantile is the least duration that a share q of all does not exceed.
func (h *Hist) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	want := max(1, int64(q*float64(h.n)+0.5))
	for i, c := range h.counts {
		if want -= int64(c); want <= 0 {
			return min(time.Duration(histValue(i))*time.Microsecond, h.max)
		}
	}
	return h.max
}

// Merge adds all of another.
func (h *Hist) Merge(o *Hist) {
	h.n += o.n
	h.max = max(h.max, o.max)
	for i, c := range o.counts {
		h.counts[i] += c
	}
}

// Latency is what is said of a distribution.
type Latency struct {
	P50, P90, P99, P999, Max time.Duration
	N                        int64
}

// Latency sums the distribution up.
func (h *Hist) Latency() Latency {
	return Latency{h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99), h.Quantile(0.999), h.max, h.n}
}

// MarshalJSON has seconds.
func (l Latency) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"p50_s": l.P50.Seconds(), "p90_s": l.P90.Seconds(), "p99_s": l.P99.Seconds(),
		"p999_s": l.P999.Seconds(), "max_s": l.Max.Seconds(), "n": l.N})
}

// Short has the digits of a duration that count.
func Short(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
