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
func (f *flow) route(ctx context.Context, dc []byte) (route, error) {
	s := f.source
	if !s.byDC {
		dc = nil
	}
	if to, ok := f.routes[string(dc)]; ok {
		return to, nil
	}
	topic := config.TargetTopic(s.relay.cfg.Aggregator.Target.Topic, f.claim.Topic(), string(dc))
	if s.circle && config.Subscribed(s.cfg.Topics, topic) {
		err := circleError(s.cfg, f.claim.Topic(), topic)
		s.fail(err)
		return route{}, err
	}
	n, err := s.out.Partitions(ctx, topic)
	if err != nil {
		return route{}, err
	}
	to := route{topic, n}
	f.routes[string(dc)] = to
	return to, nil
}

// withDC returns the record's headers, with label's dc header after them if there is
// none, and the data centre they name. Headers that have to be copied are cut from
// free, which is allocated for many of the left records at once, if at all.
func withDC(headers, label, free []kafka.Header, left int) (with []kafka.Header, dc []byte, rest []kafka.Header) {
	for i := range headers {
		if string(headers[i].Key) == string(dcKey) {
			return headers, headers[i].Value, free
		}
	}
	dc = label[0].Value
	if len(headers) == 0 {
		return label, dc, free
	}
	n := len(headers) + 1
	if len(free) < n {
		free = make([]kafka.Header, max(n, min(n*left, 1024))) // a record may have any number of headers
	}
	with = free[:n:n]
	with[copy(with, headers)] = label[0]
	return with, dc, free[n:]
}

func size(r *kafka.Record) int64 { return int64(len(r.Key) + len(r.Value)) }

func sizes(rs []kafka.Record) (n int64) {
	for i := range rs {
		n += size(&rs[i])
	}
	return n
}

// circleError is a mistake of the configuration that only the topics' names show.
func circleError(src config.Source, from, to string) error {
	return &config.Error{Key: "aggregator.target.topic", Msg: fmt.Sprintf("topic %s of kafka %s would go to topic %s of the same cluster, which is relayed too: a circle", from, src.Kafka, to)}
}
