package rule

import (
	"bytes"
	mathbits "math/bits"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// Event is what rules look at.
type Event struct {
	Text   []byte // the message, the inside of a JSON string
	Stream string // stdout, stderr or empty
	Level  string // as log.level has it; empty: none
	ID     []byte // of the event: what a sample by line is decided on
	Source string // id of the source: what a sample by source is decided on
	Bytes  int64  // that the event is counted with
}

// Verdict is what becomes of an event: for each kind of action the rule that acts, or
// nil. If Dropped or Unsampled is set, the event goes no further, and the rules after it
// have not been asked.
type Verdict struct {
	Dropped, Unsampled, Limit, Label, Route, Mask *Rule
}

// Out is the rule by which the event is not kept; nil: it is.
func (v *Verdict) Out() *Rule {
	if v.Dropped != nil {
		return v.Dropped
	}
	return v.Unsampled
}

// Judge judges events by the views of one set, and counts for each rule. It serves one
// goroutine, and allocates nothing for an event once it has met the longest.
type Judge struct {
	set    *Set
	counts []Counts
	plain  []byte // the message without escapes
	isAt   bool   // plain is that of the event at hand
	found  []uint64
	masked []byte
	spans  []span
}

// Counts are what a rule has matched: for a sample, what was not kept; for a mask,
// events in which something was masked; for a limit, what was over it.
type Counts struct{ Events, Bytes int64 }

// NewJudge makes a judge.
func (s *Set) NewJudge() *Judge {
	return &Judge{set: s, counts: make([]Counts, s.Len()), found: make([]uint64, (s.Len()+63)/64)}
}

// Tally calls f for each rule that matched since the last call, with what it counted.
func (j *Judge) Tally(f func(*Rule, Counts)) {
	for i, c := range j.counts {
		if c != (Counts{}) {
			f(j.set.rules[i], c)
			j.counts[i] = Counts{}
		}
	}
}

// Count counts an event for a rule whose effect only the caller knows: a limit.
func (j *Judge) Count(r *Rule, bytes int64) {
	c := &j.counts[r.Index]
	c.Events++
	c.Bytes += bytes
}

// Judge judges an event of a source that the view is of.
func (j *Judge) Judge(v *View, e *Event) (out Verdict) {
	if v == nil {
		return out
	}
	j.isAt = false
	found := j.found[:copy(j.found, v.always)]
	if v.scanner != nil {
		v.scanner.find(j.written(e.Text), found)
	}
	var decided Kinds
	for k, bits := range found {
		for ; bits != 0; bits &= bits - 1 {
			r := v.rules[k<<6+mathbits.TrailingZeros64(bits)]
			if decided.has(r.Kind) || !j.matches(&r.match, e) {
				continue
			}
			decided |= 1 << r.Kind
			j.decide(&out, r, e)
		}
	}
	if lost := out.Out(); lost != nil {
		j.Count(lost, e.Bytes)
		return Verdict{Dropped: out.Dropped, Unsampled: out.Unsampled}
	}
	for _, r := range [...]*Rule{out.Label, out.Route} {
		if r != nil {
			j.Count(r, e.Bytes)
		}
	}
	return out
}

func (j *Judge) decide(out *Verdict, r *Rule, e *Event) {
	switch r.Kind {
	case Count:
		j.Count(r, e.Bytes)
	case Drop:
		out.Dropped = r
	case Sample:
		if !r.sample.keeps(j, r, e) {
			out.Unsampled = r
		}
	case Limit:
		out.Limit = r
	case Label:
		out.Label = r
	case Route:
		out.Route = r
	case Mask:
		out.Mask = r
	}
}

// written is a message in which literals can be looked for: as it is, unless characters
// are escaped that need not be.
func (j *Judge) written(inside []byte) []byte {
	if oddEscape(inside) {
		return j.text(inside)
	}
	return inside
}

// text is the message without escapes, made once an event.
func (j *Judge) text(inside []byte) []byte {
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	if !j.isAt {
		j.plain, j.isAt = jsontext.Unescape(j.plain[:0], inside), true
	}
	return j.plain
}

func (j *Judge) matches(m *matcher, e *Event) bool {
	if !m.stream.any() && !m.stream.Match(e.Stream) || !m.level.any() && !m.level.Match(e.Level) {
		return false
	}
	return m.text == nil || m.text.match(j.text(e.Text))
}

// Shed gives memory back that is above a size, in bytes.
func (j *Judge) Shed(size int) {
	if cap(j.plain) > size {
		j.plain = nil
	}
	if cap(j.masked) > size {
		j.masked = nil
	}
}
