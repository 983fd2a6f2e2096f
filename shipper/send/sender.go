// Package send takes events on to Kafka and finds out what became of them: it has the
// batches, the partition of each event, what is under way of each file, and the events
// that Kafka refuses.
//
//	Batch.Emit -> Sender -> producer -> Done: Owner.Stored -> Window: the position moves
//	     ^                                |
//	     \------ Refusals <---------------/ split, or kept to be sent again
package send

import (
	"context"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/line"
)

// Values of partition_by besides host.
const (
	BySource = "source"
	BySpread = "spread"
)

// Producer is what the sender needs of kafka.Producer.
type Producer interface {
	Append(ctx context.Context, topic string, partition int32, r kafka.Record, tag kafka.Tag) error
	Partitions(ctx context.Context, topic string) (int32, error)
}

// Sender appends batches to the producer. It is the one that waits when the producer's
// buffer is full, so that who makes events need not. Free and In are for that one
// goroutine; Done may be called from any.
type Sender struct {
	Free chan *Batch // batches to be filled
	In   chan *Batch // filled ones; closed by who fills them

	topic    string
	by       string // partition_by
	every    int    // spread: bytes before the next partition's turn
	producer Producer
	m        *meters
	refusals *Refusals
	press    *press

	turn     int32 // spread: the partition that has its turn
	turnLeft int
}

// NewSender sends to a topic; every is after how many bytes partition_by spread goes on
// to the next partition. What Kafka refuses is left with r.
func NewSender(topic, by string, every int, r *Refusals, reg *metrics.Registry) *Sender {
	s := &Sender{
		Free: make(chan *Batch, 3), In: make(chan *Batch, 1),
		topic: topic, by: by, every: every, m: newMeters(reg), refusals: r, press: &press{apart: by == BySource},
	}
	for range cap(s.Free) {
		s.Free <- &Batch{press: s.press}
	}
	return s
}

// Obey has events judged by rules before they are sent; nil: by none. It goes before the
// first event.
func (s *Sender) Obey(r *Rules) { s.press.rules, s.press.topic = r, s.topic }

// Rules are those that events are judged by; nil: none.
func (s *Sender) Rules() *Rules { return s.press.rules }

// Start gives the sender its producer, whose ProducerOptions.Done is the sender's; it
// goes before Run.
func (s *Sender) Start(p Producer) { s.producer = p }

// Run ends when In is closed; once ctx has ended it sends no more: what is left was not
// acknowledged, so it comes again.
func (s *Sender) Run(ctx context.Context) {
	for b := range s.In {
		s.send(ctx, b)
		b.reset()
		s.Free <- b
	}
}

func (s *Sender) send(ctx context.Context, b *Batch) {
	n, err := s.producer.Partitions(ctx, s.topic)
	if err != nil || n <= 0 {
		return
	}
	sent, bytes := 0, 0
	defer func() { s.m.appended(sent, bytes) }()
	for i := range b.out {
		o := &b.out[i]
		if err := s.producer.Append(ctx, s.topic, s.partition(o, n), o.rec, o.tag); err != nil {
			return
		}
		sent++
		bytes += len(o.rec.Value)
	}
}

func (s *Sender) partition(o *outgoing, n int32) int32 {
	if s.by != BySpread {
		return int32(o.hash % uint32(n))
	}
	if s.turnLeft -= len(o.rec.Value); s.turnLeft < 0 {
		s.turn, s.turnLeft = s.turn+1, s.every
	}
	s.turn %= n
	return s.turn
}

// Done is the producer's callback: the batch is stored, or its one record is refused.
func (s *Sender) Done(r *kafka.Result) {
	if r.Err != nil {
		s.refusals.add(r)
		return
	}
	stored, bytes := 0, 0
	for i := range r.Sizes {
		bytes += int(r.Sizes[i].Value)
	}
	for i := 0; i < len(r.Tags); {
		first, n := r.Tags[i], 1
		for i+n < len(r.Tags) && r.Tags[i+n].Owner == first.Owner && r.Tags[i+n].Pos == first.Pos+int64(n) {
			n++
		}
		stored += ownerOf(first).Stored(first.Pos, n)
		i += n
	}
	s.m.acked(stored, bytes)
}

// Flagged is how many events had each flag since the last call; for the goroutine that
// makes events.
func (s *Sender) Flagged() (n [line.NumFlags]int64) {
	n, s.press.flagged = s.press.flagged, n
	return n
}
