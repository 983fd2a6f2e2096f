package verify

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHist(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var h, other Hist
	var all []time.Duration
	for i := range 30_000 {
		d := time.Duration(rnd.ExpFloat64()*float64(time.Second)) >> rnd.IntN(20)
		all = append(all, d)
		if i%2 == 0 {
			h.Record(d)
		} else {
			other.Record(d)
		}
	}
	h.Merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		got, want := h.Quantile(q), all[max(0, int(q*float64(len(all))+0.5)-1)]
		if diff := (got - want).Abs(); diff > want/100+time.Microsecond {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if h.Max() != all[len(all)-1] || h.N() != int64(len(all)) {
		t.Errorf("max %v, n %d", h.Max(), h.N())
	}
	h.Record(-time.Second)
	h.Record(1000 * time.Hour)
	if got := h.Quantile(1); got < 18*time.Hour {
		t.Errorf("the longest counts as %v", got)
	}
}

func TestHistBuckets(t *testing.T) {
	for v := uint64(0); v < 1<<36; v += v/300 + 1 {
		i := histIndex(v)
		if hi := histValue(i); hi < v || hi > v+v/128 {
			t.Fatalf("%d is in bucket %d up to %d", v, i, hi)
		}
		if i > 0 && histValue(i-1) >= v {
			t.Fatalf("%d belongs to a lower bucket than %d", v, i)
		}
	}
}
