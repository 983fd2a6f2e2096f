package aggregator

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"

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
	topic := render(s.relay.cfg.Aggregator.Target.Topic, f.claim.Topic(), string(dc))
	if s.circle && subscribed(s.cfg.Topics, topic) {
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

// render names the target topic. A dc comes from a record, so whatever Kafka allows
// in no topic's name becomes _.
func render(template, topic, dc string) string {
	legal := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}
	name := strings.NewReplacer("{topic}", topic, "{dc}", strings.Map(legal, dc)).Replace(template)
	return name[:min(len(name), 249)] // the longest name Kafka allows
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

// check refuses what cannot be relayed by, above all what would relay in a circle.
func check(cfg *config.Config) error {
	a := &cfg.Aggregator
	if len(a.Sources) == 0 || a.Target.Topic == "" {
		return fmt.Errorf("aggregator: sources and target.topic have to be set")
	}
	if _, ok := cfg.Kafka[a.Target.Kafka]; !ok {
		return fmt.Errorf("aggregator.target.kafka: no cluster %q under kafka", a.Target.Kafka)
	}
	for _, src := range a.Sources {
		if _, ok := cfg.Kafka[src.Kafka]; !ok {
			return fmt.Errorf("aggregator.sources: no cluster %q under kafka", src.Kafka)
		}
		for _, t := range src.Topics {
			if _, err := regexp.Compile(t); err != nil && strings.HasPrefix(t, "^") {
				return fmt.Errorf("aggregator.sources: topic %s: %w", t, err)
			}
		}
		if !sameCluster(cfg.Kafka, src.Kafka, a.Target.Kafka) {
			continue
		}
		if subscribed(src.Topics, a.DeadLetterTopic) {
			return circleError(src, a.DeadLetterTopic, a.DeadLetterTopic)
		}
		dc := src.DC
		if dc == "" {
			dc = src.Kafka
		}
		for _, t := range src.Topics {
			to := render(a.Target.Topic, t, dc)
			if to == t || !(strings.HasPrefix(t, "^") && strings.Contains(a.Target.Topic, "{topic}")) && subscribed(src.Topics, to) {
				return circleError(src, t, to)
			} // with other regular expressions it shows once the topics are known
		}
	}
	return nil
}

func circleError(src config.Source, from, to string) error {
	return fmt.Errorf("aggregator: topic %s of kafka %s would go to topic %s of the same cluster, which is relayed too: a circle", from, src.Kafka, to)
}

// subscribed says whether a topic is among those of a source.
func subscribed(topics []string, topic string) bool {
	for _, t := range topics {
		if !strings.HasPrefix(t, "^") {
			if t == topic {
				return true
			}
		} else if re, err := regexp.Compile(t); err == nil && re.MatchString(topic) {
			return true
		}
	}
	return false
}

// sameCluster says whether two names mean one cluster: because they are equal, or
// because a broker is named under both.
func sameCluster(clusters map[string]config.Kafka, a, b string) bool {
	if a == b {
		return true
	}
	brokers := map[string]bool{}
	for _, x := range clusters[a].Brokers {
		brokers[canonical(x)] = true
	}
	for _, x := range clusters[b].Brokers {
		if brokers[canonical(x)] {
			return true
		}
	}
	return false
}

func canonical(broker string) string {
	broker = strings.ToLower(broker)
	if _, _, err := net.SplitHostPort(broker); err != nil {
		broker = net.JoinHostPort(broker, "9092")
	}
	return broker
}
