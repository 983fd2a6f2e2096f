package aggregator

import (
	"errors"
	"time"

	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
)

// A letter that the dead-letter topic refuses as well is tried again this often, since
// an operator may have raised a limit.
const deadRetry = time.Minute

// bury sends a record that the target refused for ever to the dead-letter topic. Its
// partition takes nothing more meanwhile, so there are never more letters than records
// were in flight.
func (r *relay) bury(f *flow, rec kafka.Record, offset int64, target string, err error) {
	rec.Offset = offset
	l := &deadletter.Letter{
		Record: rec, Cluster: f.source.cfg.Kafka, Topic: f.claim.Topic(), Partition: f.claim.Partition(),
		Reason: refusal(err), Error: err.Error(), Role: "aggregator", Output: r.target.Name, Target: target, Died: time.Now(),
	}
	f.note(1, 0)
	if f.warned.CompareAndSwap(false, true) {
		r.log.Warn("the target refuses records for ever: they go to the dead-letter topic", "kafka", l.Cluster, "topic", l.Topic, "partition", l.Partition,
			"offset", offset, "bytes", len(rec.Value), "dead_letter_topic", r.cfg.Aggregator.DeadLetterTopic, "error", err)
	}
	r.dead.Write(l, &buried{flow: f, offset: offset, size: size(&rec)})
}

// refusal names the kind of an error.
func refusal(err error) string {
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
	flow   *flow
	offset int64
	size   int64
}

// Stored is part of deadletter.Owner.
func (b *buried) Stored() {
	b.flow.claim.Done(b.offset)
	b.flow.dead.Inc()
	b.flow.finish(1, b.size, 1)
}

// Dropped is part of deadletter.Owner.
func (b *buried) Dropped() {
	b.flow.returned.Inc()
	b.flow.finish(1, b.size, 1)
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
