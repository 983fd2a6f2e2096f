package ack

import (
	"math/rand/v2"
	"testing"
)

// naive is the definition that Tracker is held against: a set of unfinished offsets.
type naive struct {
	next       int64
	unfinished map[int64]bool
}

func (n *naive) mark() int64 {
	m := n.next
	for o := range n.unfinished {
		m = min(m, o)
	}
	return m
}

// The mark never passes an unfinished offset, and reaches every offset that may be
// committed, whatever the order of finishing, the gaps and the repetitions.
func TestMarkIsLowWater(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		from := int64(rnd.IntN(1000))
		tr, want := New(from), &naive{next: from, unfinished: map[int64]bool{}}
		var open []int64
		for range 3000 {
			if len(open) == 0 || rnd.IntN(100) < 52 {
				o := want.next
				if rnd.IntN(20) == 0 {
					o += int64(rnd.IntN(300))
				}
				tr.Take(o)
				want.next = o + 1
				want.unfinished[o] = true
				open = append(open, o)
			} else {
				i := rnd.IntN(min(len(open), 1+rnd.IntN(200)))
				o := open[i]
				open = append(open[:i], open[i+1:]...)
				tr.Done(o)
				delete(want.unfinished, o)
				if rnd.IntN(10) == 0 {
					tr.Done(o)
				}
			}
			if got := tr.Mark(); rnd.IntN(20) == 0 && got != want.mark() {
				t.Fatalf("seed %d: mark = %d, want %d", seed, got, want.mark())
			}
		}
		for _, o := range open {
			tr.Done(o)
		}
		if tr.Mark() != want.next || tr.Pending() != 0 {
			t.Fatalf("seed %d: all done: mark = %d, pending %d, want %d, 0", seed, tr.Mark(), tr.Pending(), want.next)
		}
	}
}

func TestStrangeOffsets(t *testing.T) {
	tr := New(10)
	f := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	f("Done before Take", tr.Done(10), false)
	f("Take(12)", tr.Take(12), true)
	f("mark after a gap", tr.Mark(), int64(12))
	f("Take(11)", tr.Take(11), false)
	f("Done(11)", tr.Done(11), false)
	f("Done(12)", tr.Done(12), true)
	f("Done(12) again", tr.Done(12), false)
	f("mark", tr.Mark(), int64(13))
	f("Take far ahead", tr.Take(1_000_000), true)
	f("mark", tr.Mark(), int64(1_000_000))
}

func BenchmarkTakeDone(b *testing.B) {
	b.ReportAllocs()
	tr := New(0)
	const window = 5000
	for i := range int64(b.N) {
		tr.Take(i)
		if i >= window {
			tr.Done(i - window)
		}
	}
}
