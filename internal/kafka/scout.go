package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/wake"
)

// scout finds out for the sender who leads what, and gets it an identity. Asking may
// take long while a cluster is away, so it is a goroutine of its own.
type scout struct {
	p       *Producer
	control *control // owned by run
	wake    wake.Signal
	stale   atomic.Bool // metadata are asked for
	noID    atomic.Bool // an identity is asked for
	unsure  bool        // the last metadata left something open; owned by run
}

func newScout(p *Producer) *scout {
	s := &scout{p: p, control: newControl(p.cluster, p.conf), wake: wake.New()}
	s.noID.Store(p.opts.TransactionalID == "")
	return s
}

// look asks for metadata of all topics in use; the sender hears of them.
func (s *scout) look() {
	if !s.stale.Swap(true) {
		s.poke()
	}
}

// identify asks for a new producer id.
func (s *scout) identify() {
	if !s.noID.Swap(true) {
		s.poke()
	}
}

func (s *scout) poke() {
	s.wake.Raise()
}

func (s *scout) run(ctx context.Context) {
	defer s.control.Close()
	w := s.p.cluster.waits()
	for failed := 0; ; {
		next := w.refresh
		if s.ask() {
			failed = 0
		} else {
			failed++
			next = w.backoff.Pause(failed)
		}
		timer := time.NewTimer(w.backoff.First / 2) // at most this often, however many ask
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(next)
		select {
		case <-s.wake:
		case <-timer.C:
			s.stale.Store(true)
		case <-ctx.Done():
			return
		}
	}
}

// ask asks the cluster what is wanted and tells the sender. It reports whether all
// could be found out, by now or the last time: a poke may come after what it was for.
func (s *scout) ask() bool {
	if s.noID.Load() {
		id, err := s.control.producerID()
		if err != nil {
			s.p.sender.inbox.tell(news{about: "id", err: err})
			return false
		}
		s.noID.Store(false)
		s.p.sender.inbox.tell(news{about: "id", id: &id})
	}
	if !s.stale.Swap(false) {
		return !s.unsure
	}
	topics := *s.p.topics.Load()
	md, err := s.control.metadata(slices.AppendSeq(make([]string, 0, len(topics)), maps.Keys(topics)), true)
	if err != nil {
		s.stale.Store(true)
		s.p.sender.inbox.tell(news{about: "metadata", err: err})
		return false
	}
	s.unsure = false
	for name, m := range md {
		t := topics[name]
		if t == nil {
			continue
		}
		if m.err == nil {
			if t.count.Swap(int32(len(m.leaders))) == 0 {
				close(t.known)
			}
		} else if errors.Is(m.err, sarama.ErrLeaderNotAvailable) || t.count.Load() == 0 {
			s.unsure = true
		}
	}
	s.p.sender.inbox.tell(news{about: "metadata", topics: md})
	return !s.unsure
}
