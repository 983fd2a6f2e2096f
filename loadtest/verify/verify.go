// Package verify reads lines back at the other end, counts them exactly by their marks, and
// says what is missing, doubled, torn, misplaced or out of order. Lines are read with
// franz-go, which the stages do not use.
package verify

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sluicelog/sluice/loadtest/generate"
)

// Verifier counts lines at the other end by what their marks say: exactly, whatever
// their number, with one bit a line. All methods are safe for concurrent use; lines of
// different sources do not wait for each other.
type Verifier struct {
	o Options

	mu      sync.RWMutex // guards the slice, not what it points to
	sources []*arrivals

	latency [16]struct { // by source, so that lines of different sources seldom wait
		sync.Mutex
		Hist
	}
	distinct atomic.Int64
	repeated atomic.Int64
	foreign  atomic.Int64
	unmarked atomic.Int64
	sampleMu sync.Mutex
	sample   string // of an unmarked line
}

// Options say what can be held against the lines.
type Options struct {
	Run uint32
	// Places: events have log.offset and log.size, which are compared with the ledger.
	Places bool
	// Ordered: lines of a source come in order, as from a Kafka partition. A line that
	// was sent again does not count against it.
	Ordered bool
	// Repeats: the same line may come again if it has the same id, as it does in Kafka
	// after a crash. Costs 4 bytes a line. Without it every second copy is a doubled line.
	Repeats bool
}

// arrivals is what came of one source.
type arrivals struct {
	mu        sync.Mutex
	seen      seen
	ids       idPages // with Repeats
	places    uint64
	bytes     int64
	last      int64 // sequence that came last for the first time; -1: none
	doubled   int64
	repeated  int64
	disorder  int64
	torn      int64
	firstBad  [3]int64 // first doubled line, first line out of order, first torn one
	noOffsets int64
}

// NewVerifier starts with nothing seen.
func NewVerifier(o Options) *Verifier { return &Verifier{o: o} }

// See counts an event, document or plain line that was found at a time.
func (v *Verifier) See(value []byte, at time.Time) {
	m, behind, ok := generate.CutMark(value)
	if !ok {
		v.odd(value)
		return
	}
	if m.Run != v.o.Run {
		v.foreign.Add(1)
		return
	}
	a, whole := v.source(m.Source), generate.Sealed(behind)
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.Seq > a.seen.top+maxGap {
		v.odd(value)
		return
	}
	if !whole {
		if a.torn == 0 {
			a.firstBad[2] = m.Seq
		}
		a.torn++
	}
	if !a.seen.add(m.Seq) {
		if a.again(m.Seq, value, v.o.Repeats) {
			v.repeated.Add(1)
		}
		return
	}
	v.distinct.Add(1)
	if v.o.Repeats {
		*a.ids.at(m.Seq) = idHash(value)
	}
	if v.o.Ordered && m.Seq < a.last {
		if a.disorder == 0 {
			a.firstBad[1] = m.Seq
		}
		a.disorder++
	}
	a.last = max(a.last, m.Seq)
	if v.o.Places {
		offset, size, ok := offsetSize(value)
		if !ok {
			a.noOffsets++
		}
		a.places += generate.PlaceHash(m.Seq, offset, size)
		a.bytes += size
	}
	if !at.IsZero() {
		h := &v.latency[m.Source%len(v.latency)]
		h.Lock()
		h.Record(at.Sub(m.At()))
		h.Unlock()
	}
}

// maxGap bounds the memory that a broken mark can take.
const maxGap = 1 << 28

func (v *Verifier) odd(value []byte) {
	v.unmarked.Add(1)
	v.sampleMu.Lock()
	defer v.sampleMu.Unlock()
	if v.sample == "" {
		v.sample = string(value[:min(len(value), 300)])
	}
}

// again reports whether the line was sent again. Without an id it cannot have been: it is doubled.
func (a *arrivals) again(seq int64, value []byte, repeats bool) bool {
	if h := idHash(value); repeats && h != 0 && h == *a.ids.at(seq) {
		a.repeated++
		return true
	}
	if a.doubled == 0 {
		a.firstBad[0] = seq
	}
	a.doubled++
	return false
}

func (v *Verifier) source(n int) *arrivals {
	v.mu.RLock()
	if n < len(v.sources) && v.sources[n] != nil {
		defer v.mu.RUnlock()
		return v.sources[n]
	}
	v.mu.RUnlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	for n >= len(v.sources) {
		v.sources = append(v.sources, nil)
	}
	if v.sources[n] == nil {
		v.sources[n] = &arrivals{last: -1}
	}
	return v.sources[n]
}

// Distinct is how many different lines of the run were seen.
func (v *Verifier) Distinct() int64 { return v.distinct.Load() }

// Repeated is how often a line was seen once more under the same id.
func (v *Verifier) Repeated() int64 { return v.repeated.Load() }

var idMember = []byte(`"_id":"`)

// idHash is a hash of the event's id, 0 if it has none.
func idHash(value []byte) uint32 {
	i := bytes.Index(value[:min(len(value), 64)], idMember)
	if i < 0 {
		return 0
	}
	id := value[i+len(idMember):]
	if n := bytes.IndexByte(id, '"'); n > 0 {
		return uint32(xxh3.Hash(id[:n])) | 1
	}
	return 0
}

var logMember = []byte(`"log":{`)

// offsetSize finds log.offset and log.size without a parser: the members of log that
// come first, in any order.
func offsetSize(value []byte) (offset, size int64, ok bool) {
	for {
		i := bytes.Index(value, logMember)
		if i < 0 {
			return 0, 0, false
		}
		value = value[i+len(logMember):]
		near := value[:min(len(value), 400)]
		offset, ok1 := member(near, `"offset":`)
		size, ok2 := member(near, `"size":`)
		if ok1 && ok2 {
			return offset, size, true
		}
	}
}

func member(b []byte, name string) (n int64, ok bool) {
	i := bytes.Index(b, []byte(name))
	if i < 0 {
		return 0, false
	}
	for _, c := range b[i+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n, ok = n*10+int64(c-'0'), true
	}
	return n, ok
}

// Verdict is what the count came to.
type Verdict struct {
	Lines     int64     `json:"lines"`     // written
	Found     int64     `json:"found"`     // of them, each counted once
	Missing   int64     `json:"missing"`   // written and not found
	Doubled   int64     `json:"doubled"`   // found again, under another id or where none may come again
	Repeated  int64     `json:"repeated"`  // found again under the same id, where that is allowed
	Invented  int64     `json:"invented"`  // of this run, but never written
	Disorder  int64     `json:"disorder"`  // came after a later line of the same source
	Torn      int64     `json:"torn"`      // came with another text than was written
	Misplaced int64     `json:"misplaced"` // sources whose offsets or sizes are not those written
	Foreign   int64     `json:"foreign"`   // of another run: counted, and no fault
	Unmarked  int64     `json:"unmarked"`  // without a mark: broken, or none of ours
	Latency   Latency   `json:"latency"`
	Problems  []Problem `json:"problems,omitempty"` // the first of each kind
}

// Problem names what is wrong.
type Problem struct {
	Kind   string `json:"kind"` // missing, doubled, invented, disorder, torn, misplaced, unmarked, counters
	Source int    `json:"source"`
	Text   string `json:"text"`
}

func (p Problem) String() string { return p.Kind + ": " + p.Text }

const problemsOfKind = 5

// OK is true if all is as promised.
func (v *Verdict) OK() bool { return len(v.Problems) == 0 }

// String is one line for people.
func (v *Verdict) String() string {
	s := fmt.Sprintf("%d of %d lines found, %d missing, %d doubled, %d out of order", v.Found, v.Lines, v.Missing, v.Doubled, v.Disorder)
	if v.Repeated > 0 {
		s += fmt.Sprintf(", %d sent again under the same id", v.Repeated)
	}
	if v.OK() {
		return s + ": ok"
	}
	var b strings.Builder
	for _, p := range v.Problems {
		b.WriteString("\n  " + p.String())
	}
	return s + b.String()
}

func (v *Verdict) problem(kind string, source int, format string, args ...any) {
	n := 0
	for _, p := range v.Problems {
		if p.Kind == kind {
			n++
		}
	}
	if n < problemsOfKind {
		v.Problems = append(v.Problems, Problem{kind, source, fmt.Sprintf("source %d: ", source) + fmt.Sprintf(format, args...)})
	}
}

// Verdict compares what was seen with what was written.
func (v *Verifier) Verdict(l *generate.Ledger) *Verdict {
	out := &Verdict{Foreign: v.foreign.Load(), Unmarked: v.unmarked.Load()}
	v.mu.RLock()
	defer v.mu.RUnlock()
	var latency Hist
	for n := range max(len(l.Sources), len(v.sources)) {
		var w generate.Written
		if n < len(l.Sources) {
			w = l.Sources[n]
		}
		a := &arrivals{}
		if n < len(v.sources) && v.sources[n] != nil {
			a = v.sources[n]
		}
		a.mu.Lock()
		v.judge(out, n, w, a)
		a.mu.Unlock()
	}
	for i := range v.latency {
		h := &v.latency[i]
		h.Lock()
		latency.Merge(&h.Hist)
		h.Unlock()
	}
	if out.Unmarked > 0 {
		out.Problems = append(out.Problems, Problem{"unmarked", -1, fmt.Sprintf("%d events without a mark, such as %q", out.Unmarked, v.sample)})
	}
	out.Latency = latency.Latency()
	slices.SortStableFunc(out.Problems, func(a, b Problem) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}

func (v *Verifier) judge(out *Verdict, n int, w generate.Written, a *arrivals) {
	spans, missing := a.seen.missing(w.Lines, 3)
	invented := a.seen.n - (w.Lines - missing)
	out.Lines += w.Lines
	out.Found += w.Lines - missing
	out.Missing += missing
	out.Invented += invented
	out.Doubled += a.doubled
	out.Repeated += a.repeated
	out.Disorder += a.disorder
	out.Torn += a.torn
	if missing > 0 {
		var at []string
		for _, s := range spans {
			at = append(at, fmt.Sprintf("%d-%d", s.From, s.To-1))
		}
		out.problem("missing", n, "%d of %d lines, the first at %s", missing, w.Lines, strings.Join(at, ", "))
	}
	if invented > 0 {
		out.problem("invented", n, "%d lines that were never written, up to sequence %d", invented, a.seen.top-1)
	}
	if a.doubled > 0 {
		out.problem("doubled", n, "%d lines, the first with sequence %d", a.doubled, a.firstBad[0])
	}
	if a.disorder > 0 {
		out.problem("disorder", n, "%d lines, the first with sequence %d", a.disorder, a.firstBad[1])
	}
	if a.torn > 0 {
		out.problem("torn", n, "%d lines came with another text than was written, the first with sequence %d", a.torn, a.firstBad[2])
	}
	if v.o.Places && missing == 0 && invented == 0 && (a.places != w.Places || a.bytes != w.Bytes) {
		out.Misplaced++
		out.problem("misplaced", n, "log.offset and log.size are not those written: sizes add up to %d of %d bytes, %d events have neither", a.bytes, w.Bytes, a.noOffsets)
	}
}
