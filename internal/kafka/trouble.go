package kafka

import (
	"fmt"
	"time"
)

// trouble is a topic whose records cannot be written now. It is logged when it
// begins, when its reason changes and when it ends, not once per try.
type trouble struct {
	partitions int // that are stuck
	since      time.Time
	text       string
	err        error
}

// ill notes that the partition's batch failed again.
func (s *sender) ill(p *partition, err error, text string) {
	t := s.troubles[p.topic.name]
	if t == nil {
		t = &trouble{since: time.Now()}
		s.troubles[p.topic.name] = t
	}
	if !p.stuck {
		p.stuck = true
		t.partitions++
		s.stuck.Add(1)
	}
	t.err = fmt.Errorf("write to %s: %w", p.topic.name, err)
	if say := text + err.Error(); say != t.text {
		t.text = say
		s.log.Warn("cannot write, trying again", "topic", p.topic.name, "partition", p.num, "error", err, "broker_says", text)
	}
	s.health()
}

// well notes that the partition's batch is done with.
func (s *sender) well(p *partition, now time.Time) {
	if p.stuck {
		p.stuck = false
		s.stuck.Add(-1)
		t := s.troubles[p.topic.name]
		if t.partitions--; t.partitions == 0 {
			delete(s.troubles, p.topic.name)
			s.log.Info("writing again", "topic", p.topic.name, "after", now.Sub(t.since).Round(time.Millisecond))
		}
	}
	s.health()
}

// health tells whether all is well. The cluster counts as unreachable while any
// partition is stuck, since what is stuck may be all that matters.
func (s *sender) health() {
	if s.down != nil {
		s.p.cluster.Health.Fail(s.down)
		return
	}
	for _, t := range s.troubles {
		s.p.cluster.Health.Fail(t.err)
		return
	}
	s.p.cluster.Health.OK()
}
