package send

import (
	"math/rand/v2"
	"testing"
)

func TestWindowMovesInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var w ring
		n := rnd.IntN(300)
		acked := make([]bool, n)
		at := int64(0)
		for i, seq := range append(rnd.Perm(n), rnd.Perm(n)...) { // acknowledged in any order, and again
			if i == 0 {
				for k := range n {
					w.push(int64(k+1) * 10)
				}
			}
			if got := w.done(int64(seq)); got >= 0 {
				at = got
			}
			acked[seq] = true
			want := 0
			for want < n && acked[want] {
				want++
			}
			if at != int64(want)*10 {
				t.Fatalf("position %d, want %d", at, want*10)
			}
		}
		if w.len() > 0 {
			t.Fatal("not empty")
		}
	}
}
