package kafka

import (
	"fmt"
	"time"
)

// trouble is a topic whose records cannot be written now, or a question that nobody
// answers. It is logged when it begins, when its reason changes and when it ends, not
// once per try.
type trouble struct {
	partitions int // of a topic, that are stuck
	since      time.Time
	text       string // what was logged last
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
	if say := text + kind(err); say != t.text {
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

// heard notes whether a question was answered.
func (s *sender) heard(about string, err error, now time.Time) {
	t := s.down[about]
	switch {
	case err == nil && t != nil:
		delete(s.down, about)
		s.log.Info("kafka can be used again", "after", now.Sub(t.since).Round(time.Millisecond))
	case err != nil:
		if t == nil {
			t = &trouble{since: now}
			s.down[about] = t
		}
		t.err = err
		if say := kind(err); say != t.text {
			t.text = say
			s.log.Warn("kafka cannot be used, trying again", "error", err)
		}
	}
	s.health()
}

// health tells whether all is well. The cluster counts as unreachable while any
// partition is stuck, since what is stuck may be all that matters.
func (s *sender) health() {
	for _, t := range s.down {
		s.p.cluster.Health.Fail(t.err)
		return
	}
	for _, t := range s.troubles {
		s.p.cluster.Health.Fail(t.err)
		return
	}
	s.p.cluster.Health.OK()
}
