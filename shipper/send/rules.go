package send

import (
	"fmt"
	"time"

	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/rule"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
)

// EventsDropped counts what rules have not let through; their lines are finished.
var EventsDropped = metrics.NewCounter("shipper_dropped_events", "events", "Events that a rule dropped: by drop, not kept by sample, or over a limit", "rule")

var (
	ruleEvents = metrics.NewCounter("shipper_rule_events", "events", "Events that a rule acted on: counted, dropped, not kept, masked, or over its limit", "rule", "action")
	ruleBytes  = metrics.NewCounter("shipper_rule_bytes", "bytes", "Bytes of log files of the events that a rule acted on", "rule", "action")
)

// Rules are what an operator wants done with events before they are sent. They are for
// the goroutine that makes events.
type Rules struct {
	set    *rule.Set
	judge  *rule.Judge
	limits map[limitKey]*limit
	event  rule.Event
	m      []ruleMeters // by rule
}

type ruleMeters struct{ events, bytes, dropped metrics.Counter }

// limitKey is what a limit is counted by.
type limitKey struct {
	rule   int
	name   string  // application, or source
	window *Window // file
}

// limit is a bucket, and what was dropped since that was reported in the log.
type limit struct {
	bucket  *rule.Bucket
	rule    *rule.Rule
	dropped int64
	since   time.Time // of the first that was dropped
	last    time.Time
	window  *Window // of the last event
	event   schemas.Line
}

// NewRules are the rules of a set; nil for a set without any.
func NewRules(set *rule.Set, reg *metrics.Registry) *Rules {
	if set.Len() == 0 {
		return nil
	}
	r := &Rules{set: set, judge: set.NewJudge(), limits: map[limitKey]*limit{}}
	for _, of := range set.Rules() {
		m := ruleMeters{reg.Counter(ruleEvents, of.Name, of.Kind.String()), reg.Counter(ruleBytes, of.Name, of.Kind.String()), reg.Counter(EventsDropped, of.Name)}
		r.m = append(r.m, m)
	}
	return r
}

// Report hands over what was counted.
func (r *Rules) Report() {
	if r == nil {
		return
	}
	r.judge.Tally(func(of *rule.Rule, n rule.Counts) {
		m := &r.m[of.Index]
		m.events.Add(float64(n.Events))
		m.bytes.Add(float64(n.Bytes))
		switch {
		case of.Kind == rule.Drop, of.Kind == rule.Sample, of.Kind == rule.Limit && !rate(of).Delays():
			m.dropped.Add(float64(n.Events))
		}
	})
}

func rate(of *rule.Rule) *rule.Rate {
	r := of.Rate()
	return &r
}

// view is the rules that events of a source may match; nil: none.
func (r *Rules) view(s *Source) *rule.View {
	if !s.viewed {
		s.view, s.viewed = r.set.View(&s.facts), true
	}
	return s.view
}

// apply does what rules say of an event, and reports whether it is to be sent on.
func (r *Rules) apply(s *Source, e *line.Event[*Window], topic string, now time.Time) (keep bool) {
	s.facts.Topic = topic
	v := r.view(s)
	if v.Empty() {
		return true
	}
	r.event = rule.Event{Text: e.Message, Stream: e.Stream, ID: e.ID[:], Source: s.id, Bytes: e.Size}
	verdict := r.judge.Judge(v, &r.event)
	if verdict.Out() != nil {
		return false
	}
	if of := verdict.Limit; of != nil && !r.within(of, s, e, now) {
		return false
	}
	if verdict.Mask != nil {
		e.Message, _ = r.judge.Mask(verdict.Mask, &r.event)
	}
	if cap(e.Message) > mostScratch {
		r.judge.Shed(mostScratch)
	}
	return true
}

const mostScratch = 4 << 20

// mostLimits bounds the memory, some 200 bytes each: beyond it those that are full again
// are forgotten.
const mostLimits = 4096

// within takes an event from the limit of a rule; false: it is to be dropped. If it is to
// wait its source does.
func (r *Rules) within(of *rule.Rule, s *Source, e *line.Event[*Window], now time.Time) bool {
	hold := e.Holds[len(e.Holds)-1]
	key := limitKey{rule: of.Index}
	switch of.By() {
	case rule.ByApp:
		key.name = s.facts.App
	case rule.ByContainer:
		key.name = s.id
	case rule.ByFile:
		key.window = hold.Window
	}
	l := r.limits[key]
	if l == nil {
		r.forget(now)
		l = &limit{bucket: rule.NewBucket(of.Rate(), now), rule: of}
		r.limits[key] = l
	}
	if rate(of).Delays() {
		if wait := l.bucket.Owe(e.Size, now); wait > 0 {
			s.until = now.Add(wait)
			r.judge.Count(of, e.Size)
		}
		return true
	}
	if l.bucket.Take(e.Size, now) == 0 {
		return true
	}
	r.judge.Count(of, e.Size)
	if l.dropped == 0 {
		l.since = now
	}
	l.dropped++
	l.last, l.window = now, hold.Window
	l.event = schemas.Line{Offset: e.Offset + e.Size, Generation: e.Generation, Stream: e.Stream}
	return false
}

func (r *Rules) forget(now time.Time) {
	if len(r.limits) < mostLimits {
		return
	}
	for key, l := range r.limits {
		if l.dropped == 0 && l.bucket.Idle(now) {
			delete(r.limits, key)
		}
	}
}

// summaryEvery is how long lines are dropped until an event says how many.
const summaryEvery = 60 * time.Second

// Summarise adds an event for each limit that has dropped lines for a minute, or did so
// before: how many. It is one of the source that the last of them was of.
func (b *Batch) Summarise(now time.Time) {
	r := b.press.rules
	if r == nil {
		return
	}
	for _, l := range r.limits {
		if l.dropped == 0 || now.Sub(l.since) < summaryEvery {
			continue
		}
		s := l.window.source
		what := "lines"
		switch l.rule.By() {
		case rule.ByApp:
			what = "lines of app " + s.facts.App
		case rule.ByContainer, rule.ByFile:
			what = "lines of this log"
		}
		text := []byte(fmt.Sprintf("%s %s were dropped by rule %s in %d s", thousands(l.dropped), what, l.rule.Name, int(l.last.Sub(l.since).Seconds()+1)))
		e := line.Event[*Window]{Line: l.event, Holds: []line.Hold[*Window]{{Window: l.window, Next: l.window.last}}}
		e.Time, e.Message = now, text
		e.ID = schemas.NewPlace(s.id, "rule", l.rule.Name).Line(now.UnixNano()).Add(text).ID(now)
		b.emit(&e)
		l.dropped = 0
	}
}

// thousands is a number with a comma before each three digits.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// skip has the positions of its files pass an event that is not sent.
func (b *Batch) skip(e *line.Event[*Window]) {
	*e.Holds[0].Window.source.made++
	for _, h := range e.Holds {
		w := h.Window
		seq := w.made
		w.made, w.last = seq+1, h.Next
		if len(b.entries) > 0 { // others are before it
			b.entries = append(b.entries, entry{w, h.Next, true})
			continue
		}
		w.mu.Lock()
		w.ring.push(h.Next)
		w.finish(seq)
		w.mu.Unlock()
	}
}
