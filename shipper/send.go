package shipper

import (
	"context"
	"sync"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// producer is what the shipper needs of kafka.Producer.
type producer interface {
	Append(ctx context.Context, topic string, partition int32, r kafka.Record, tag kafka.Tag) error
	Partitions(ctx context.Context, topic string) (int32, error)
}

// sender appends batches to the producer. It is the one that waits when the producer's
// buffer is full, so the tailer can go on opening new files meanwhile.
type sender struct {
	topic string
	by    string // partition_by
	every int    // spread: bytes before the next partition's turn
	p     producer
	in    chan *batch // closed by the tailer
	free  chan *batch
	m     *meters

	refused chan struct{} // cap 1: there is something in refusals
	mu      sync.Mutex
	refusal []refusal

	turn     int32 // spread: the partition that has its turn
	turnLeft int
}

type refusal struct {
	rec   kafka.Record
	tag   kafka.Tag
	err   error
	again time.Time
}

func newSender(p producer, topic, by string, every int, m *meters) *sender {
	s := &sender{topic: topic, by: by, every: every, p: p, m: m, in: make(chan *batch, 1), free: make(chan *batch, 3), refused: make(chan struct{}, 1)}
	for range 3 {
		s.free <- &batch{}
	}
	return s
}

// run ends when in is closed; once ctx has ended it sends no more: what is left was not
// acknowledged, so it comes again.
func (s *sender) run(ctx context.Context) {
	for b := range s.in {
		s.send(ctx, b)
		b.reset()
		s.free <- b
	}
}

func (s *sender) send(ctx context.Context, b *batch) {
	n, err := s.p.Partitions(ctx, s.topic)
	if err != nil || n <= 0 {
		return
	}
	sent, bytes := 0, 0
	defer func() { s.m.appended(sent, bytes) }()
	for i := range b.out {
		o := &b.out[i]
		if err := s.p.Append(ctx, s.topic, s.partition(o, n), o.rec, o.tag); err != nil {
			return
		}
		sent++
		bytes += len(o.rec.Value)
	}
}

func (s *sender) partition(o *outgoing, n int32) int32 {
	if s.by != "spread" {
		return int32(o.hash % uint32(n))
	}
	if s.turnLeft -= len(o.rec.Value); s.turnLeft < 0 {
		s.turn, s.turnLeft = s.turn+1, s.every
	}
	s.turn %= n
	return s.turn
}

// done is the producer's callback: the batch is stored, or its one record is refused.
func (s *sender) done(r *kafka.Result) {
	if r.Err != nil {
		s.mu.Lock()
		for _, tag := range r.Tags {
			s.refusal = append(s.refusal, refusal{rec: r.Record, tag: tag, err: r.Err})
		}
		s.mu.Unlock()
		select {
		case s.refused <- struct{}{}:
		default:
		}
		return
	}
	acked, bytes := 0, 0
	for i := range r.Sizes {
		bytes += int(r.Sizes[i].Value)
	}
	for i := 0; i < len(r.Tags); {
		f, ok := r.Tags[i].Owner.(*file)
		if !ok {
			if finished(r.Tags[i]) {
				acked++
			}
			i++
			continue
		}
		f.mu.Lock()
		for ; i < len(r.Tags) && r.Tags[i].Owner == any(f); i++ {
			f.advance(r.Tags[i].Pos)
			acked++
		}
		f.mu.Unlock()
	}
	s.m.acked(acked, bytes)
}

// takeRefused hands over what Kafka refused since the last call.
func (s *sender) takeRefused() []refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.refusal
	s.refusal = nil
	return r
}
