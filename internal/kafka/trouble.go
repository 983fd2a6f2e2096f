package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/logonce"
)

// trouble is a topic whose records cannot be written now, a question that nobody
// answers, a topic of which nothing is known, or a partition that cannot be read. It is
// logged when it begins, when its reason changes and when it ends, not once per try.
type trouble struct {
	logonce.State
	partitions int       // of a topic, that are stuck
	seen       time.Time // last, of a partition that cannot be read
	err        error
}

// ill notes that the partition's batch failed again.
func (s *sender) ill(p *partition, err error, text string) {
	t := s.troubles[p.topic.name]
	if t == nil {
		t = &trouble{}
		s.troubles[p.topic.name] = t
	}
	if !p.stuck {
		p.stuck = true
		t.partitions++
		s.stuck.Add(1)
	}
	t.err = fmt.Errorf("write to %s: %w", p.topic.name, err)
	if t.Failed(text + kind(err)) {
		s.log.Warn("cannot write, trying again", "topic", p.topic.name, "partition", p.num, "error", err, "broker_says", text)
	}
	s.health()
}

// well notes that the partition's batch is done with.
func (s *sender) well(p *partition) {
	if p.stuck {
		p.stuck = false
		s.stuck.Add(-1)
		t := s.troubles[p.topic.name]
		if t.partitions--; t.partitions == 0 {
			delete(s.troubles, p.topic.name)
			down, _ := t.OK()
			s.log.Info("writing again", "topic", p.topic.name, "after", down)
		}
	}
	s.health()
}

// heard notes whether a question was answered.
func (s *sender) heard(about string, err error) {
	switch t := s.down[about]; {
	case err == nil && t != nil:
		delete(s.down, about)
		if down, logged := t.OK(); logged {
			s.log.Info("kafka can be used again", "after", down)
		}
	case err != nil:
		t = s.worse(about, err)
		if _, said := errors.AsType[sarama.KError](err); s.p.txn != nil && !said {
			break // a cluster that is away is the same to all lanes: the stage's own producer tells of it
		}
		if t.Failed(kind(err)) {
			s.log.Warn("kafka cannot be used, trying again", "error", err)
		}
	}
	s.health()
}

// found notes what the cluster says of a topic whose partitions are not known yet: those
// who wait for them have appended nothing that could tell. A topic that is about to be
// made is missing for a moment, which is not worth a line.
func (s *sender) found(topic string, err error) {
	about := "topic " + topic
	switch t := s.down[about]; {
	case err == nil && t != nil:
		delete(s.down, about)
		if down, logged := t.OK(); logged {
			s.log.Info("topic can be used", "topic", topic, "after", down)
		}
	case err != nil && (t != nil || (*s.p.topics.Load())[topic].count.Load() == 0):
		t = s.worse(about, fmt.Errorf("topic %s: %w", topic, err))
		made := errors.Is(err, sarama.ErrUnknownTopicOrPartition) || errors.Is(err, sarama.ErrLeaderNotAvailable)
		if made && time.Since(t.Began()) < s.w.backoff.Longest/5 {
			break
		}
		if t.Failed(kind(err)) {
			s.log.Warn("topic cannot be used, trying again", "topic", topic, "error", err)
		}
	}
}

// worse notes an error of a question.
func (s *sender) worse(about string, err error) *trouble {
	t := s.down[about]
	if t == nil {
		t = &trouble{}
		s.down[about] = t
	}
	t.err = err
	return t
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
