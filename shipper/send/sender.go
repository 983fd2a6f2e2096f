// Package send takes events on to Kafka and finds out what became of them: it has the
// batches, the partition of each event, what is under way of each file, and the events
// that Kafka refuses.
//
//	Batch.Emit -> producer -> Done: Owner.Stored -> Window: the position moves
//	     ^                      |
//	     \------ Refusals <-----/ split, or kept to be sent again
package send

import (
	"context"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/line"
)

// Values of partition_by besides host.
const (
	BySource = "source"
	BySpread = "spread"
)

// mostRoom is the room of a batch in the producer's memory, in bytes; less where there is
// little.
const mostRoom = 512 << 10

// Producer is what the sender needs of kafka.Producer.
type Producer interface {
	Write(ctx context.Context, topic string, about int) (Writer, error)
	Partitions(ctx context.Context, topic string) (int32, error)
}

// Writer is what the sender needs of kafka.Writer.
type Writer interface {
	Begin(partition int32, key []byte, at time.Time, expect int) []byte
	Commit(b, headers []byte, tag kafka.Tag)
	Left() int
	Flush()
	Close()
}

// Sender gives batches room in the producer's memory. It is the one that waits when that
// is full, so that who makes events need not. Free and In are for that one goroutine;
// Done may be called from any.
type Sender struct {
	Free chan *Batch // batches to be filled
	In   chan *Batch // those that are full; closed by who fills them, and never blocking

	room     int // of a batch, in bytes
	refusals *Refusals
	press    *press
}

// press is what batches have in common. One goroutine makes events, so it is used for one
// batch at a time; what the sender's goroutine uses of it does not change.
type press struct {
	topic    string
	by       string // partition_by
	every    int    // spread: bytes before the next partition's turn
	producer Producer
	m        *meters
	rules    *Rules // nil: none
	turn     int32  // spread: the partition that has its turn
	turnLeft int
	flagged  [line.NumFlags]int64
}

// batches is how many go round: one that is filled, and one that waits for room.
const batches = 2

// NewSender sends as the configuration has it; spread goes on to the next partition after
// as many bytes as a batch of the producer has. What Kafka refuses is left with r.
func NewSender(cfg *config.Shipper, r *Refusals, reg *metrics.Registry) *Sender {
	every := int(cfg.Produce.BatchBytes)
	s := &Sender{
		Free: make(chan *Batch, batches), In: make(chan *Batch, batches), room: min(int(cfg.Produce.Buffer)/8, mostRoom), refusals: r,
		press: &press{topic: cfg.Topic, by: cfg.PartitionBy, every: every, turnLeft: every, m: newMeters(reg)},
	}
	for range batches {
		s.In <- &Batch{press: s.press}
	}
	return s
}

// Obey has events judged by rules before they are sent; nil: by none. It goes before the
// first event.
func (s *Sender) Obey(r *Rules) { s.press.rules = r }

// Rules are those that events are judged by; nil: none.
func (s *Sender) Rules() *Rules { return s.press.rules }

// Start gives the sender its producer, whose ProducerOptions.Done is the sender's; it
// goes before Run.
func (s *Sender) Start(p Producer) { s.press.producer = p }

// Run ends when In is closed. Once ctx has ended there is no room any more: what is not
// read then comes again.
func (s *Sender) Run(ctx context.Context) {
	for b := range s.In {
		if s.refill(ctx, b) {
			s.Free <- b
		}
	}
}

// refill waits for room in the producer's memory.
func (s *Sender) refill(ctx context.Context, b *Batch) bool {
	if b.writer != nil {
		b.writer.Close()
	}
	p := s.press
	var err error
	if b.partitions, err = p.producer.Partitions(ctx, p.topic); err != nil || b.partitions <= 0 {
		return false
	}
	b.writer, err = p.producer.Write(ctx, p.topic, s.room)
	return err == nil
}

// known is a context for what does not wait.
var known = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// partition is where the next event of a source goes.
func (b *Batch) partition(of *Source) int32 {
	s := b.press
	if b.events == 0 { // their number may have changed
		if n, err := s.producer.Partitions(known, s.topic); err == nil && n > 0 {
			b.partitions = n
		}
	}
	if s.by != BySpread {
		return int32(of.hash % uint32(b.partitions))
	}
	if s.turnLeft < 0 {
		s.turn, s.turnLeft = s.turn+1, s.every
	}
	s.turn %= b.partitions
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
	s.press.m.acked(stored, bytes)
}

// Flagged is how many events had each flag since the last call; for the goroutine that
// makes events.
func (s *Sender) Flagged() (n [line.NumFlags]int64) {
	n, s.press.flagged = s.press.flagged, n
	return n
}
