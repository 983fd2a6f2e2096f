package rule

import (
	"strings"
	"time"
)

// By is what a limit is counted by.
type By uint8

// What limits go by.
const (
	ByRule      By = iota // all that the rule matches together
	ByApp                 // each application
	ByContainer           // each container, or what else is one source
	ByFile                // each file
)

var byNames = [...]string{"rule", "app", "container", "file"}

func (b By) String() string { return byNames[b] }

// Rate is a limit; a rate of 0 is none.
type Rate struct {
	Events float64 // a second
	Bytes  float64 // a second
	// Burst is the time for which events may come at once, in seconds of the rate; 0: one.
	Burst float64
	Over  string // what becomes of events over the limit: delay or drop; empty: delay
}

// Delays reports that events over the limit wait, rather than being dropped.
func (r *Rate) Delays() bool { return r.Over != "drop" }

// Rate is the limit of a rule of that kind, and By what it is counted by.
func (r *Rule) Rate() Rate { return r.limit }

// By is what the limit of the rule is counted by.
func (r *Rule) By() By { return r.by }

func (c *compiler) limitBy(s *Spec) By {
	l := &s.Limit
	if l.Events < 0 || l.Bytes < 0 || l.Events == 0 && l.Bytes == 0 {
		c.fail("limit", "expected events or bytes a second above 0")
	}
	if l.Over != "" && l.Over != "delay" && l.Over != "drop" {
		c.fail("limit.over", "expected delay or drop, got %q", l.Over)
	}
	var names []string
	for _, by := range append([]By{ByRule}, c.stage.Limits...) {
		if s.By == by.String() {
			return by
		}
		names = append(names, by.String())
	}
	if s.By != "" {
		c.fail("by", "expected one of %s for a limit, got %q", strings.Join(names, ", "), s.By)
	}
	return ByRule
}

// Bucket is how much of a limit is left. It serves one goroutine. It is full at first.
type Bucket struct {
	rate          Rate
	events, bytes float64 // left; below 0: owed
	at            time.Time
}

// NewBucket is a full bucket.
func NewBucket(r Rate, now time.Time) *Bucket {
	if r.Burst <= 0 {
		r.Burst = 1
	}
	return &Bucket{rate: r, events: r.full(r.Events), bytes: r.Bytes * r.Burst, at: now}
}

// full is how many events may come at once: one, if the rate is less.
func (r *Rate) full(rate float64) float64 {
	if rate > 0 {
		return max(rate*r.Burst, 1)
	}
	return 0
}

// Take takes an event of a size if there is room: if not, it takes nothing and says after
// which time there is. An event larger than the bucket is taken once that is full, and
// what it takes too much is owed.
func (b *Bucket) Take(bytes int64, now time.Time) (wait time.Duration) {
	b.fill(now)
	if b.rate.Events > 0 && b.events < 1 {
		wait = seconds((1 - b.events) / b.rate.Events)
	}
	if need := min(float64(bytes), b.rate.Bytes*b.rate.Burst); b.rate.Bytes > 0 && b.bytes < need {
		wait = max(wait, seconds((need-b.bytes)/b.rate.Bytes))
	}
	if wait > 0 {
		return wait
	}
	if b.rate.Events > 0 {
		b.events--
	}
	if b.rate.Bytes > 0 {
		b.bytes -= float64(bytes)
	}
	return 0
}

// Owe takes an event of a size whether there is room or not, and says after which time
// there is as much as was taken.
func (b *Bucket) Owe(bytes int64, now time.Time) (wait time.Duration) {
	b.fill(now)
	if b.rate.Events > 0 {
		if b.events--; b.events < 0 {
			wait = seconds(-b.events / b.rate.Events)
		}
	}
	if b.rate.Bytes > 0 {
		if b.bytes -= float64(bytes); b.bytes < 0 {
			wait = max(wait, seconds(-b.bytes/b.rate.Bytes))
		}
	}
	return wait
}

// fill adds what came in since it was filled last.
func (b *Bucket) fill(now time.Time) {
	s := max(now.Sub(b.at).Seconds(), 0) // the clock may have been set back
	b.at = now
	b.events = min(b.events+s*b.rate.Events, b.rate.full(b.rate.Events))
	b.bytes = min(b.bytes+s*b.rate.Bytes, b.rate.Bytes*b.rate.Burst)
}

// Idle reports that the bucket is full, so that a new one would do as well.
func (b *Bucket) Idle(now time.Time) bool {
	b.fill(now)
	return b.events >= b.rate.full(b.rate.Events) && b.bytes >= b.rate.Bytes*b.rate.Burst
}

func seconds(s float64) time.Duration { return time.Duration(s*float64(time.Second)) + 1 }
