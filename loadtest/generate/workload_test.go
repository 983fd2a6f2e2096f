package generate

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

var testStart = time.Date(2026, 11, 21, 8, 57, 47, 123456000, time.UTC)

func TestWorkloadIsDeterministic(t *testing.T) {
	w := Workload{Seed: 7, Run: 1, Sources: 20, Skew: 1, Start: testStart, Rate: 1000, HugeOf: 500}
	a, b, c := NewLines(w), NewLines(w), NewLines(Workload{Seed: 8, Run: 1, Sources: 20, Skew: 1, Start: testStart, Rate: 1000})
	same := 0
	for range 5000 {
		a.Next()
		b.Next()
		c.Next()
		x, y, z := a.AppendText(nil), b.AppendText(nil), c.AppendText(nil)
		if !bytes.Equal(x, y) {
			t.Fatalf("line %d:\n%s\n%s", a.Sent(), x, y)
		}
		if bytes.Equal(x, z) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d lines of another seed are the same", same)
	}
}

func TestWorkloadLines(t *testing.T) {
	const n = 20_000
	l := NewLines(Workload{Seed: 1, Run: 9, Sources: 100, Skew: 1, Start: testStart, Rate: 70_000, HugeOf: 1000})
	next := make([]int64, 100)
	sum, huge, traces := 0, 0, 0
	text, escaped := []byte{}, []byte{}
	for i := range n {
		m := l.Next()
		text, escaped = l.AppendText(text[:0]), l.AppendEscaped(escaped[:0])
		if got, ok := FindMark(text); !ok || got != m || bytes.IndexByte(text, '\n') >= 0 {
			t.Fatalf("mark %+v, %v, want %+v in %q", got, ok, m, text)
		}
		if want := testStart.UnixMicro() + int64(i)*1e6/70_000; m.Seq != next[m.Source] || m.Time < want-1 || m.Time > want+1 {
			t.Fatalf("line %d: %+v, want sequence %d, time %d", i, m, next[m.Source], want)
		}
		next[m.Source]++
		var s string
		if err := json.Unmarshal(append(append([]byte{'"'}, escaped...), '"'), &s); err != nil || s != string(text) {
			t.Fatalf("escaped %q (%v), want %q", s, err, text)
		}
		if kindOf(m.Source) == jsonApp && len(text) < 10_000 && !json.Valid(text) {
			t.Fatalf("no JSON: %s", text)
		}
		sum += len(text)
		switch {
		case len(text) > 16<<10:
			huge++
		case len(text) < 180 || len(text) > 8300:
			t.Fatalf("%d bytes: %s", len(text), text)
		}
		if text[0] == '\t' {
			traces++
		}
	}
	if mean := sum / n; mean < 850 || mean > 1150 {
		t.Errorf("mean %d bytes, want about 1000", mean)
	}
	if huge < n/3000 || huge > n/300 {
		t.Errorf("%d huge lines of %d, want one of 1000", huge, n)
	}
	if traces < n/100 {
		t.Errorf("%d lines of stack traces of %d", traces, n)
	}
	// Zipf: the sum of 1/1 to 1/100 is 5.187.
	if got, want := float64(next[0])/n, 1/5.187; got < want*0.95 || got > want*1.05 {
		t.Errorf("the first source has %.3f of the lines, want %.3f", got, want)
	}
}

// Lines of a curve over sizes have that size.
func TestWorkloadExact(t *testing.T) {
	for _, size := range []int{100, 1000, 20_000} {
		l := NewLines(Workload{Seed: 1, Sources: 5, Mean: size, Exact: true, Start: testStart, Rate: 1000})
		for range 500 {
			m := l.Next()
			text := l.AppendText(nil)
			if got, ok := FindMark(text); len(text) != size || !ok || got != m {
				t.Fatalf("%d bytes, want %d: %.200s", len(text), size, text)
			}
		}
	}
}

// With a life of 2 s and 10 slots, 5 sources a second end and others take their place.
func TestWorkloadLife(t *testing.T) {
	l := NewLines(Workload{Seed: 1, Sources: 10, Start: testStart, Rate: 1000, Life: 2 * time.Second})
	seen := map[int]int64{}
	for range 20_000 {
		m := l.Next()
		if m.Seq != seen[m.Source] {
			t.Fatalf("%+v, want sequence %d", m, seen[m.Source])
		}
		seen[m.Source]++
	}
	if len(seen) < 105 || len(seen) > 110 {
		t.Errorf("%d sources in 20 s, want about 110 less those yet to come", len(seen))
	}
}

func BenchmarkLines(b *testing.B) {
	l := NewLines(Workload{Seed: 1, Sources: 100, Skew: 1, Start: testStart, Rate: 70_000})
	buf := []byte{}
	sum := 0
	b.ReportAllocs()
	for b.Loop() {
		l.Next()
		buf = l.AppendEscaped(buf[:0])
		sum += len(buf)
	}
	b.SetBytes(int64(sum / b.N))
}
