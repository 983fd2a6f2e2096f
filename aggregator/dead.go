package aggregator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
)

// A letter that the dead-letter topic refuses as well is tried again this often, since
// an operator may have raised a limit.
const deadRetry = time.Minute

// refusal is a record that the target refused for ever.
type refusal struct {
	record kafka.Record
	target string // topic
	err    error
	stored bool // it is in the dead-letter topic; guarded by the notes' mu
}

// refused deals with a record that the target refuses. Without lanes it becomes a dead
// letter now. With lanes the transaction it was in is given up, and when the record comes
// again it becomes one before anything after it is appended: a transaction never waits
// for the dead-letter topic.
func (f *flow) refused(rec kafka.Record, offset int64, target string, err error) {
	r := &refusal{record: rec, target: target, err: err}
	r.record.Offset = offset
	if f.source.lanes == nil {
		f.note(1, 0)
		f.bury(r)
		return
	}
	f.notes.mu.Lock()
	f.notes.refused[offset] = r
	f.notes.mu.Unlock()
	f.spoil(fmt.Errorf("%s/%d: the target refuses the record at offset %d: %w", f.claim.Topic(), f.claim.Partition(), offset, err))
}

// skip passes over a record that was refused, once it is in the dead-letter topic; false: ctx
// has ended before.
func (f *flow) skip(ctx context.Context, r *refusal, offset int64) bool {
	f.notes.mu.Lock()
	stored := r.stored
	f.notes.mu.Unlock()
	if !stored {
		f.note(1, 0)
		f.bury(r)
		if f.wait(ctx, func() bool { return f.letters == 0 }) != nil {
			return false
		}
		f.notes.mu.Lock()
		stored = r.stored
		f.notes.mu.Unlock()
		if !stored {
			return false
		}
	}
	return f.source.lanes.Append(ctx, f.claim, func(*kafka.Producer) error {
		f.added(1, offset+1, r.record.Time)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.buried++
		return nil
	}) == nil
}

// bury sends a record to the dead-letter topic. Its partition takes nothing more
// meanwhile, so there are never more letters than records were in flight.
func (f *flow) bury(r *refusal) {
	l := &deadletter.Letter{
		Record: r.record, Cluster: f.source.cfg.Kafka, Topic: f.claim.Topic(), Partition: f.claim.Partition(),
		Reason: reason(r.err), Error: r.err.Error(), Role: "aggregator", Output: f.source.relay.target.Name, Target: r.target, Died: time.Now(),
	}
	if f.warned.CompareAndSwap(false, true) {
		f.source.log.Warn("the target refuses records for ever: they go to the dead-letter topic", "kafka", l.Cluster, "topic", l.Topic, "partition", l.Partition,
			"offset", r.record.Offset, "bytes", len(r.record.Value), "dead_letter_topic", f.source.relay.cfg.Aggregator.DeadLetterTopic, "error", r.err)
	}
	f.source.dead.Write(l, &buried{flow: f, refusal: r})
}

// reason names the kind of an error.
func reason(err error) string {
	switch {
	case errors.Is(err, kafka.ErrTooLarge):
		return "record_too_large"
	case errors.Is(err, kafka.ErrInvalidRecord):
		return "invalid_record"
	}
	return "other"
}

// buried is a record on its way to the dead-letter topic; it is the letter's owner.
type buried struct {
	flow    *flow
	refusal *refusal
}

// Stored is part of deadletter.Owner.
func (b *buried) Stored() {
	f := b.flow
	if f.source.lanes == nil {
		f.claim.Done(b.refusal.record.Offset)
		f.dead.Inc()
		f.finish(1, 1)
		return
	}
	f.notes.mu.Lock()
	b.refusal.stored = true
	f.notes.mu.Unlock()
	f.finish(0, 1)
}

// Dropped is part of deadletter.Owner.
func (b *buried) Dropped() {
	if b.flow.source.lanes != nil { // it was not taken
		b.flow.finish(0, 1)
		return
	}
	b.flow.returned.Inc()
	b.flow.finish(1, 1)
}

// Held is part of deadletter.Owner. The partition stays where it is: nothing may pass a
// record that is nowhere.
func (b *buried) Held(held bool) {
	n := 1
	if !held {
		n = -1
	}
	b.flow.note(0, n)
	b.flow.heldEvents.Add(float64(n))
}

// Ended is part of deadletter.Owner.
func (b *buried) Ended() bool { return b.flow.ended() }
