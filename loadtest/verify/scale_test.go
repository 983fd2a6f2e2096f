//go:build linux

package verify

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/proc"
)

var (
	scaleLines   = flag.Int64("lines", 100_000, "TestVerifierAtScale: lines in all")
	scaleSources = flag.Int("sources", 100, "TestVerifierAtScale: sources that they are of, 10 at least")
)

// stamp is an event whose source, sequence, id and offset are written over in place, so
// that the verifier's time is measured and not that of making events.
type stamp struct {
	text                 []byte
	source, seq, id, off int
}

const scaleOffset = 1_000_000_000 // ten digits for every line

func newStamp() *stamp {
	e := event(0, 0, scaleOffset, 70)
	mark := bytes.Index(e, []byte(lineMark)) + len(lineMark)
	return &stamp{text: e, source: mark + 9, seq: mark + 16, id: bytes.Index(e, []byte(`"_id":"`)) + 7, off: bytes.Index(e, fmt.Appendf(nil, "%d", scaleOffset))}
}

// at is line seq of a source as it was written; other is another id for it.
func (s *stamp) at(source int, seq, offset int64, other bool) []byte {
	putHex(s.text[:s.source], uint64(source), 6)
	putHex(s.text[:s.seq], uint64(seq), 10)
	id := uint64(source)<<40 | uint64(seq)
	if other {
		id = ^id
	}
	putHex(s.text[:s.id], id, 16)
	for i, v := s.off+9, scaleOffset+offset; i >= s.off; i-- {
		s.text[i] = byte('0' + v%10)
		v /= 10
	}
	return s.text
}

// Whatever the number of lines and sources, the verifier finds exactly those that were
// dropped, doubled, swapped and moved, and its memory is a bit a line, or 33 where it has
// to tell lines that were sent again from doubled ones:
//
//	go test ./verify -run VerifierAtScale -count 1 -v -args -lines 100000000 -sources 5000
func TestVerifierAtScale(t *testing.T) {
	// Sources 1 to 9 are damaged, each in one way.
	const dropOne, dropLast, dropSpan, double, again, swap, move, invent = 1, 2, 3, 4, 5, 6, 7, 8
	sources, lines := *scaleSources, *scaleLines/int64(*scaleSources)
	mid := lines / 2
	feed := func(s *stamp, source int, seq int64, see func([]byte, time.Time)) {
		at := time.Time{}
		switch {
		case source == dropOne && seq == mid, source == dropLast && seq == lines-1, source == dropSpan && seq >= mid && seq < mid+100:
			return
		case source == swap && (seq == mid || seq == mid+1):
			seq = 2*mid + 1 - seq
		case source == move && seq == mid:
			see(s.at(source, seq, seq*70+1, false), at)
			return
		}
		see(s.at(source, seq, seq*70, false), at)
		if seq == mid+9 && source == double {
			see(s.at(source, mid, mid*70, true), at)
		}
		if seq == mid+9 && source == again {
			see(s.at(source, mid, mid*70, false), at)
		}
		if seq == lines-1 && source == invent {
			see(s.at(source, lines, lines*70, false), at)
		}
	}
	ledger := &generate.Ledger{Run: 1, Sources: make([]generate.Written, sources)}
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for source := w; source < sources; source += workers {
				l := &ledger.Sources[source]
				for seq := range lines {
					l.Places += generate.PlaceHash(seq, scaleOffset+seq*70, 70)
				}
				l.Lines, l.Bytes = lines, lines*70
			}
		})
	}
	wg.Wait()
	f := func(what string, o Options, repeated int64, want []string) {
		t.Helper()
		debug.FreeOSMemory()
		os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew
		before, _ := proc.UsageOf(os.Getpid())
		v, start := NewVerifier(o), time.Now()
		for w := range workers {
			wg.Go(func() {
				s := newStamp()
				for seq := range lines {
					for source := w; source < sources; source += workers {
						feed(s, source, seq, v.See)
					}
				}
			})
		}
		wg.Wait()
		took := time.Since(start)
		start = time.Now()
		got := v.Verdict(ledger)
		after, _ := proc.UsageOf(os.Getpid())
		t.Logf("%s: %d lines of %d sources: %v, %.0f ns a line; verdict %v; memory %d MiB more than before, at the peak", what, lines*int64(sources), sources, took.Round(time.Millisecond),
			float64(took.Nanoseconds())/float64(lines*int64(sources)), time.Since(start).Round(time.Millisecond), (after.PeakRSS-before.PeakRSS)>>20)
		var problems []string
		for _, p := range got.Problems {
			problems = append(problems, p.String())
		}
		if !slices.Equal(problems, want) {
			t.Errorf("%s: got\n%q\nwant\n%q", what, problems, want)
		}
		if got.Missing != 102 || got.Found != lines*int64(sources)-102 || got.Invented != 1 || got.Misplaced != 1 || got.Repeated != repeated {
			t.Errorf("%s: %+v", what, got)
		}
	}
	missing := []string{
		fmt.Sprintf("missing: source 1: 1 of %d lines, the first at %d-%d", lines, mid, mid),
		fmt.Sprintf("missing: source 2: 1 of %d lines, the first at %d-%d", lines, lines-1, lines-1),
		fmt.Sprintf("missing: source 3: 100 of %d lines, the first at %d-%d", lines, mid, mid+99),
	}
	invented := fmt.Sprintf("invented: source 8: 1 lines that were never written, up to sequence %d", lines)
	misplaced := fmt.Sprintf("misplaced: source 7: log.offset and log.size are not those written: sizes add up to %d of %d bytes, 0 events have neither", lines*70, lines*70)
	doubled := func(source int) string {
		return fmt.Sprintf("doubled: source %d: 1 lines, the first with sequence %d", source, mid)
	}
	f("Elasticsearch, a sink", Options{Run: 1, Places: true}, 0, slices.Concat([]string{doubled(double), doubled(again), invented, misplaced}, missing)) // by kind
	f("Kafka", Options{Run: 1, Places: true, Ordered: true, Repeats: true}, 1,
		slices.Concat([]string{fmt.Sprintf("disorder: source 6: 1 lines, the first with sequence %d", mid), doubled(double), invented, misplaced}, missing))
}
