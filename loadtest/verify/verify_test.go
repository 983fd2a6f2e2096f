package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/schemas"
)

var lineTime = time.Date(2026, 11, 21, 8, 57, 47, 123456000, time.UTC)

const (
	lineMark    = "~lt:"
	lineMarkLen = len("~lt:01020304:00002a:0000000007:5f8a1b2c3d4e5~")
	cutAt       = 16 << 10 // where dockerd cuts a line
)

// putHex writes a number in so many digits behind dst, which has room.
func putHex(dst []byte, v uint64, digits int) {
	const hex = "0123456789abcdef"
	for s := 4 * (digits - 1); s >= 0; s -= 4 {
		dst = append(dst, hex[v>>s&15])
	}
}

const said = ` said "log":{ and more`

// event is line seq of a source as the shipper sends it.
func event(source int, seq, offset, size int64) []byte {
	m := generate.Mark{Run: 1, Source: source, Seq: seq, Time: lineTime.UnixMicro()}
	text := generate.AppendSeal(append(m.Append([]byte("INFO ")), said...), []byte(said))
	id := schemas.NewPlace(fmt.Sprint(source), "", "").Line(offset).Add(text).ID(lineTime)
	return schemas.AppendEvent(nil, &schemas.Line{ID: id, Time: lineTime, Message: jsontext.Append(nil, text), Stream: "stdout", Offset: offset, Size: size},
		schemas.NewTail(&schemas.Source{Host: "h", Path: "/log"}))
}

// The verifier finds every kind of fault and names its source, and none where there is none.
func TestVerifierCatches(t *testing.T) {
	const lines = 300
	all := Options{Run: 1, Places: true, Ordered: true, Repeats: true}
	f := func(o Options, what string, damage func([][]byte) [][]byte, wantKind, wantText string) {
		t.Helper()
		var l generate.Ledger
		v := NewVerifier(o)
		for source := range 3 {
			var events [][]byte
			for seq := range int64(lines) {
				m := generate.Mark{Run: 1, Source: source, Seq: seq}
				l.Add(m, seq%100*70, 70) // rotated twice
				events = append(events, event(source, seq, seq%100*70, 70))
			}
			if source == 1 {
				events = damage(events)
			}
			for _, e := range events {
				v.See(e, lineTime.Add(time.Second))
			}
		}
		got := v.Verdict(&l)
		if wantKind == "" {
			if !got.OK() || got.Found != 3*lines || got.Latency.P50.Round(20*time.Millisecond) != time.Second {
				t.Errorf("%s: %v, %+v", what, got, got.Latency)
			}
			return
		}
		if len(got.Problems) == 0 || got.Problems[0].Kind != wantKind || !strings.Contains(got.Problems[0].Text, wantText) {
			t.Errorf("%s: %v\nwant %s: %s", what, got, wantKind, wantText)
		}
		for _, p := range got.Problems {
			if p.Source != 1 && p.Kind != "unmarked" {
				t.Errorf("%s: source %d is blamed: %v", what, p.Source, p)
			}
		}
	}
	none := func(e [][]byte) [][]byte { return e }
	f(all, "nothing", none, "", "")
	f(all, "drop one", func(e [][]byte) [][]byte { return slices.Delete(e, 77, 78) }, "missing", "1 of 300 lines, the first at 77-77")
	f(all, "drop the last", func(e [][]byte) [][]byte { return e[:299] }, "missing", "299-299")
	f(all, "drop all", func(e [][]byte) [][]byte { return nil }, "missing", "300 of 300 lines, the first at 0-299")
	swap := func(e [][]byte) [][]byte { e[10], e[11] = e[11], e[10]; return e }
	f(all, "swap two", swap, "disorder", "1 lines, the first with sequence 10")
	f(Options{Run: 1, Places: true}, "swap two where order is not seen", swap, "", "")
	swapTexts := func(e [][]byte) [][]byte { e[10], e[11] = event(1, 11, 700, 70), event(1, 10, 770, 70); return e }
	f(Options{Run: 1, Places: true}, "swap the texts of two", swapTexts, "misplaced", "not those written")
	again := func(e [][]byte) [][]byte { return append(e[:60:60], e[50:]...) }
	f(all, "send ten again", again, "", "")
	f(Options{Run: 1, Places: true, Ordered: true}, "double ten", again, "doubled", "10 lines, the first with sequence 50")
	f(all, "double one under another id", func(e [][]byte) [][]byte { return slices.Insert(e, 51, event(1, 50, 71, 70)) }, "doubled", "1 lines, the first with sequence 50")
	noIDs := func(e [][]byte) [][]byte {
		for i := range e {
			e[i] = bytes.Replace(e[i], []byte(`"_id"`), []byte(`"_ID"`), 1)
		}
		return e
	}
	f(all, "no ids", noIDs, "", "")
	f(all, "double ten without ids", func(e [][]byte) [][]byte { return again(noIDs(e)) }, "doubled", "10 lines, the first with sequence 50")
	f(all, "tear one", func(e [][]byte) [][]byte { e[5] = bytes.Replace(e[5], []byte(" and more"), nil, 1); return e }, "torn", "1 lines came with another text than was written, the first with sequence 5")
	f(all, "wrong offset", func(e [][]byte) [][]byte { e[5] = event(1, 5, 351, 70); return e }, "misplaced", "not those written")
	f(all, "wrong size", func(e [][]byte) [][]byte { e[5] = event(1, 5, 350, 71); return e }, "misplaced", "21001 of 21000")
	f(all, "invent one", func(e [][]byte) [][]byte { return append(e, event(1, 300, 0, 70)) }, "invented", "1 lines that were never written, up to sequence 300")
	f(all, "break one", func(e [][]byte) [][]byte { e[3] = []byte(`{"message":"~lt:broken"}`); return e }, "missing", "3-3")
	f(all, "a line of another run", func(e [][]byte) [][]byte { return append(e, generate.Mark{Run: 2}.Append(nil)) }, "", "")
}

func TestVerifierTellsOfUnmarked(t *testing.T) {
	v := NewVerifier(Options{Run: 1})
	v.See([]byte("who knows"), lineTime)
	if got := v.Verdict(&generate.Ledger{}).String(); !strings.Contains(got, `unmarked: 1 events without a mark, such as "who knows"`) {
		t.Error(got)
	}
}

func TestSeen(t *testing.T) {
	var s seen
	const n = 3*pageBits + 17
	gaps := []span{{0, 1}, {63, 65}, {700, 701}, {pageBits - 1, pageBits + 130}, {n - 1, n}}
	in := func(seq int64) bool {
		return slices.ContainsFunc(gaps, func(g span) bool { return g.From <= seq && seq < g.To })
	}
	want := int64(0)
	for seq := range int64(n) {
		if in(seq) {
			want++
		} else if !s.add(seq) || s.add(seq) {
			t.Fatalf("add %d", seq)
		}
	}
	spans, missing := s.missing(n, 10)
	if !slices.Equal(spans, gaps) || missing != want {
		t.Errorf("missing %d: %v, want %d: %v", missing, spans, want, gaps)
	}
}

func BenchmarkSealed(b *testing.B) {
	l := generate.NewLines(generate.Workload{Seed: 1, Sources: 8, Start: lineTime, Rate: 70_000})
	var behind [][]byte
	sum := 0
	for range 1000 {
		l.Next()
		_, text, _ := generate.CutMark(jsontext.Append(nil, l.AppendText(nil)))
		behind = append(behind, text)
		sum += len(text)
	}
	b.SetBytes(int64(sum / len(behind)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if text := behind[i%len(behind)]; !generate.Sealed(text) {
			b.Fatalf("%s", text)
		}
	}
}

func BenchmarkVerifier(b *testing.B) {
	v := NewVerifier(Options{Run: 1, Places: true, Ordered: true})
	e := event(0, 0, 1<<20, 700)
	at := strings.Index(string(e), lineMark) + len("~lt:00000001:000000:")
	now := time.Now()
	b.SetBytes(int64(len(e)))
	b.ReportAllocs()
	for i := range b.N {
		putHex(e[:at], uint64(i), 10)
		v.See(e, now)
	}
}

// A line of each format is whole as text and in an event, and is torn when the end of it is
// lost, when a piece of it is, or when two of them are swapped.
func TestVerifierFindsTornLines(t *testing.T) {
	l := generate.NewLines(generate.Workload{Seed: 1, Run: 1, Sources: 8, Start: lineTime, Rate: 1000, HugeOf: 10})
	v, huge := NewVerifier(Options{Run: 1}), 0
	for range 1000 {
		a := v.source(l.Next().Source)
		text := l.AppendText(nil)
		f := func(what string, text []byte, want int64) {
			t.Helper()
			in := schemas.AppendEvent(nil, &schemas.Line{Time: lineTime, Message: jsontext.Append(nil, text)}, schemas.NewTail(&schemas.Source{Host: "h"}))
			for _, value := range [][]byte{text, in, jsontext.Append(nil, in)} {
				before := a.torn
				if v.See(value, time.Time{}); a.torn-before != want {
					t.Fatalf("%s: torn %d, want %d: %s", what, 1-want, want, value)
				}
			}
		}
		f("whole", text, 0)
		seal := bytes.LastIndexByte(text, '~')
		f("cut", text[:seal], 1)
		f("cut in its seal", text[:seal+2], 1)
		mark := bytes.Index(text, []byte(lineMark)) + lineMarkLen
		f("a letter lost", slices.Concat(text[:mark], text[mark+1:]), 1)
		if len(text) <= 3*cutAt {
			continue
		}
		huge++
		piece := func(i int) []byte { return text[i*cutAt : min((i+1)*cutAt, len(text))] }
		f("the second piece lost", slices.Concat(piece(0), text[2*cutAt:]), 1)
		f("two pieces swapped", slices.Concat(piece(0), piece(2), piece(1), text[3*cutAt:]), 1)
	}
	if huge < 20 {
		t.Errorf("%d huge lines", huge)
	}
}
