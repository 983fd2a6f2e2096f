package aggregator

import (
	"context"
	"fmt"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/kafka"
)

var dcKey = []byte("dc")

// route is where a record goes: its partition p to p % partitions, which keeps the
// order of each source partition until the target gets more partitions.
type route struct {
	topic      string
	partitions int32
}

// route finds where records of a data centre go; it waits until the target's
// partitions are known.
func (f *flow) route(ctx context.Context, out *kafka.Producer, dc []byte) (route, error) {
	s := f.source
	if !s.byDC {
		dc = nil
	}
	if to, ok := f.routes[string(dc)]; ok {
		return to, nil
	}
	topic := s.target(f.claim.Topic(), string(dc))
	if s.circle && config.Subscribed(s.cfg.Topics, topic) {
		err := circleError(s.cfg, f.claim.Topic(), topic)
		s.fail(err)
		return route{}, err
	}
	n, err := out.Partitions(ctx, topic)
	if err != nil {
		return route{}, err
	}
	to := route{topic, n}
	f.routes[string(dc)] = to
	return to, nil
}

// target is the topic that records of a source topic and a data centre go to.
func (s *source) target(topic, dc string) string {
	return config.TargetTopic(s.relay.cfg.Aggregator.Target.Topic, topic, dc)
}

// run is how many of the records, one at least, are of one data centre, and of which, where
// the target topic depends on that.
func (s *source) run(records []kafka.View) (n int, dc []byte) {
	if !s.byDC {
		return len(records), nil
	}
	dc = s.dcOf(&records[0])
	for n = 1; n < len(records) && string(s.dcOf(&records[n])) == string(dc); n++ {
	}
	return n, dc
}

// dcOf is the data centre that a record names, or the source's.
func (s *source) dcOf(r *kafka.View) []byte {
	if !r.Headers.Has(string(dcKey)) {
		return s.label.Value
	}
	return r.Headers.Get(string(dcKey))
}

// circleError is a mistake of the configuration that only the topics' names show.
func circleError(src config.Source, from, to string) error {
	return &config.Error{Key: "aggregator.target.topic", Msg: fmt.Sprintf("topic %s of kafka %s would go to topic %s of the same cluster, which is relayed too: a circle", from, src.Kafka, to)}
}
