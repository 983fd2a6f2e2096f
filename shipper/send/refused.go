package send

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/wake"
	"github.com/sluicelog/sluice/shipper/line"
)

const (
	againAfter  = 30 * time.Second
	refusalSize = 256      // memory of a refused event besides its value, about
	maxRefused  = 16 << 20 // memory for refused events; above it their sources are not read
	maxAfter    = 1 << 18  // events of a file after a refused one
)

// Refusals is the events that Kafka refuses: too large is split, anything else, and what
// cannot be split, waits and is sent again. The position of its file does not pass it.
// It is owned by who makes events; what comes from Kafka comes through an inbox.
type Refusals struct {
	Ready wake.Signal // there is something to Take

	log    *slog.Logger
	m      *refusalMeters
	queue  []refusal // in order of due
	memory atomic.Int64

	mu    sync.Mutex
	inbox []refusal // guarded by mu
}

type refusal struct {
	rec kafka.Record
	tag kafka.Tag
	err error
	due time.Time
}

// NewRefusals logs when Kafka begins to refuse a source's events.
func NewRefusals(log *slog.Logger, reg *metrics.Registry) *Refusals {
	return &Refusals{Ready: wake.New(), log: log, m: newRefusalMeters(reg)}
}

// add leaves what Kafka refused in the inbox.
func (r *Refusals) add(res *kafka.Result) {
	r.mu.Lock()
	for _, tag := range res.Tags {
		r.inbox = append(r.inbox, refusal{rec: res.Record, tag: tag, err: res.Err})
	}
	r.mu.Unlock()
	r.Ready.Raise()
}

// Take sorts what came since the last call.
func (r *Refusals) Take(now time.Time) {
	r.mu.Lock()
	came := r.inbox
	r.inbox = nil
	r.mu.Unlock()
	for _, c := range came {
		a, b, ok := []byte(nil), []byte(nil), false
		if errors.Is(c.err, kafka.ErrTooLarge) {
			if bare, ok := ownerOf(c.tag).Source().strip(c.rec.Value); ok { // labels go before text does
				r.m.stripped.Inc()
				c.rec.Value = bare
				r.queue = slices.Insert(r.queue, 0, refusal{rec: c.rec, tag: c.tag})
				continue
			}
			a, b, ok = line.Split(c.rec.Value)
		}
		if !ok {
			r.keep(c, now)
			continue
		}
		r.m.split.Inc()
		p := &pieces{derived: derived{ownerOf(c.tag), c.tag.Pos}}
		p.left.Store(2)
		first, second := c.rec, c.rec
		first.Value, second.Value = a, b
		tag := kafka.Tag{Owner: p}
		r.queue = slices.Insert(r.queue, 0, refusal{rec: first, tag: tag}, refusal{rec: second, tag: tag})
	}
}

// keep has an event that Kafka refuses sent again later.
func (r *Refusals) keep(c refusal, now time.Time) {
	r.m.kept.Inc()
	o := ownerOf(c.tag)
	if s := o.Source(); o.Refused(c.err) {
		r.log.Error("Kafka refuses an event, the position of its file waits for it", "path", s.path, "bytes", len(c.rec.Value), "error", c.err)
	}
	if _, before := o.(*again); !before {
		c.rec.Value = bytes.Clone(c.rec.Value) // it may be a piece of an event, and is not to keep all of that
		a := &again{derived: derived{o, c.tag.Pos}, size: int64(len(c.rec.Value)) + refusalSize}
		o.Source().keep(a.size)
		c.tag = kafka.Tag{Owner: a}
	}
	c.due = now.Add(againAfter)
	r.queue = append(r.queue, c)
}

// Due reports that there is an event to be sent again.
func (r *Refusals) Due(now time.Time) bool {
	return len(r.queue) > 0 && !r.queue[0].due.After(now)
}

// Resend puts the event that is due into a batch.
func (r *Refusals) Resend(b *Batch) {
	c := r.queue[0]
	r.queue = r.queue[1:]
	b.put(ownerOf(c.tag).Source(), &c.rec, c.tag)
}

// Order brings forward what waited long enough.
func (r *Refusals) Order() {
	slices.SortStableFunc(r.queue, func(a, b refusal) int { return a.due.Compare(b.due) })
}
