package schemas

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestSameLineSameID(t *testing.T) {
	at := time.UnixMilli(1_795_000_000_123)
	id := func(source, gen, stream string, off int64, raw string, at time.Time) ID {
		return NewPlace(source, gen, stream).Line(off).Add([]byte(raw)).ID(at)
	}
	want := id("s", "g", "stdout", 5, "hello", at)
	f := func(what string, got ID, same bool) {
		t.Helper()
		if (got == want) != same {
			t.Errorf("%s: id %s against %s, want same = %v", what, got, want, same)
		}
	}
	f("the same", id("s", "g", "stdout", 5, "hello", at), true)
	f("source", id("t", "g", "stdout", 5, "hello", at), false)
	f("generation", id("s", "h", "stdout", 5, "hello", at), false)
	f("stream", id("s", "g", "stderr", 5, "hello", at), false)
	f("parts moved between fields", id("sg", "", "stdout", 5, "hello", at), false)
	f("offset", id("s", "g", "stdout", 6, "hello", at), false)
	f("bytes", id("s", "g", "stdout", 5, "hellp", at), false)
	f("time", id("s", "g", "stdout", 5, "hello", at.Add(time.Millisecond)), false)
	f("time within the millisecond", id("s", "g", "stdout", 5, "hello", at.Add(time.Microsecond)), true)
	if got := len(want.String()); got != IDLen {
		t.Errorf("length %d, want %d", got, IDLen)
	}
	if a, b := id("s", "g", "", 0, "x", at), id("s", "g", "", 0, "x", at.Add(time.Hour)); a.String()[:7] > b.String()[:7] {
		t.Errorf("ids do not rise with time: %s, %s", a, b)
	}
}

// Any changed byte, in any piece, gives another id; no two lines of a file share one.
func TestChangedByteOtherID(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	at := time.UnixMilli(1)
	p := NewPlace("s", "g", "stdout")
	for range 300 {
		a, b := make([]byte, 1+rnd.IntN(300)), make([]byte, 1+rnd.IntN(300))
		for i := range a {
			a[i] = byte(rnd.Uint32())
		}
		want := p.Line(7).Add(a).Add(b).ID(at)
		for _, piece := range [][]byte{a, b} {
			i := rnd.IntN(len(piece))
			bit := byte(1) << rnd.IntN(8)
			piece[i] ^= bit
			if got := p.Line(7).Add(a).Add(b).ID(at); got == want {
				t.Fatalf("byte %d changed, id is the same", i)
			}
			piece[i] ^= bit
		}
	}
	seen := map[ID]int64{}
	for off := range int64(200_000) {
		id := p.Line(off).Add([]byte("same text")).ID(at)
		if other, ok := seen[id]; ok {
			t.Fatalf("offsets %d and %d share id %s", other, off, id)
		}
		seen[id] = off
	}
}

func TestSourceID(t *testing.T) {
	a := SourceID("h", "docker", "c1")
	if len(a) != 16 || a != SourceID("h", "docker", "c1") || a == SourceID("h", "docker", "c2") {
		t.Errorf("SourceID = %q", a)
	}
}

func BenchmarkID(b *testing.B) {
	raw := make([]byte, 1000)
	p := NewPlace("s", "g", "stdout")
	at := time.Now()
	var dst []byte
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for i := range int64(b.N) {
		dst = p.Line(i).Add(raw).ID(at).AppendText(dst[:0])
	}
}
