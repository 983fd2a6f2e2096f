package aggregator

import (
	"context"
	"strings"
	"sync"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// source hands the partitions of one consumer group to the target. It is a kafka.BatchHandler.
type source struct {
	*relay
	cfg   config.Source
	group *kafka.Group
	lanes *kafka.Lanes // nil: at least once
	label kafka.Pair   // the dc header, for records that have none

	byDC   bool // the target topic depends on the record's dc
	circle bool // target and source are one cluster, so topics have to differ

	mu    sync.Mutex
	flows map[*kafka.Claim]*flow // guarded by mu
	notes map[place]*notes       // of partitions, that outlive a claim; guarded by mu
}

// place is a partition of the source.
type place struct {
	topic     string
	partition int32
}

func newSource(r *relay, cfg config.Source) *source {
	dc := cfg.DC
	if dc == "" {
		dc = cfg.Kafka
	}
	target := r.cfg.Aggregator.Target
	return &source{
		relay: r, cfg: cfg, flows: map[*kafka.Claim]*flow{}, notes: map[place]*notes{},
		label:  kafka.Pair{Key: dcKey, Value: []byte(dc)},
		byDC:   strings.Contains(target.Topic, "{dc}"),
		circle: config.SameCluster(r.cfg.Kafka, cfg.Kafka, target.Kafka),
	}
}

// newLanes makes the lanes of the source.
func (s *source) newLanes(memory *kafka.Memory) (*kafka.Lanes, error) {
	a := &s.relay.cfg.Aggregator
	return kafka.NewLanes(s.relay.target, kafka.LaneOptions{
		Produce: a.Produce, Memory: memory, Name: s.cfg.Group + "." + s.cfg.Kafka, Count: a.Lanes, Marks: s.cfg.Start == config.StartGroup, Stage: s,
		Topic: func(topic string) string { return s.target(topic, string(s.label.Value)) },
	})
}

func (s *source) groupOptions() kafka.GroupOptions {
	cfg := s.relay.cfg
	return kafka.GroupOptions{
		Consume: cfg.Aggregator.Consume, Group: s.cfg.Group, Topics: s.cfg.Topics, DrainTimeout: drainTimeout(cfg.ShutdownTimeout.D()),
		MemberFile: kafka.MemberFile(cfg.DataDir, "aggregator", s.cfg.Kafka+"-"+s.cfg.Group),
		Lanes:      s.lanes, Since: s.cfg.Since(), Rate: int64(s.cfg.Rate),
		Poisoned: func(ctx context.Context, p kafka.Poison) error {
			return s.dead.Keep(ctx, deadletter.Batch(&p, s.cfg.Kafka, "aggregator", ""))
		},
	}
}

// Assigned is part of kafka.Handler.
func (s *source) Assigned(c *kafka.Claim) {
	counter := func(d *metrics.Def) metrics.Counter { return s.reg.Counter(d, s.cfg.Kafka, c.Topic()) }
	f := &flow{
		claim: c, source: s, routes: map[string]route{}, senders: senders{}, next: c.From(),
		in: counter(inEvents), out: counter(outEvents), outBytes: counter(outBytes),
		dead: counter(deadEvents), returned: counter(returnedEvents), opened: counter(openedEvents), unlabelled: counter(unlabelledEvents),
		heldEvents: s.reg.Gauge(heldEvents, s.cfg.Kafka, c.Topic()),
		seconds:    s.reg.Histogram(relaySeconds, s.cfg.Kafka),
	}
	f.changed.L = &f.mu
	s.flowing.Add(1)
	s.mu.Lock()
	at := place{c.Topic(), c.Partition()}
	if s.notes[at] == nil {
		s.notes[at] = &notes{refused: map[int64]*refusal{}, suspects: map[int64]bool{}}
	}
	f.notes = s.notes[at]
	s.flows[c] = f
	s.mu.Unlock()
	if s.lanes != nil {
		s.lanes.Assigned(c)
	}
}

// Revoked is part of kafka.Handler: it waits for all that was taken, but for records
// that nothing will store.
func (s *source) Revoked(ctx context.Context, c *kafka.Claim) {
	f := s.flow(c)
	if s.lanes != nil {
		s.lanes.Flush(ctx, c)
	} else {
		s.out.Flush()
		_ = f.wait(ctx, func() bool { return f.pending == f.held }) // whatever is left is not committed
	}
	s.drop(c, f)
}

// Lost is part of kafka.Handler.
func (s *source) Lost(c *kafka.Claim) { s.drop(c, s.flow(c)) }

func (s *source) drop(c *kafka.Claim, f *flow) {
	if s.lanes != nil {
		s.lanes.Leave(c)
	}
	s.flowing.Add(-1)
	s.mu.Lock()
	delete(s.flows, c)
	s.mu.Unlock()
	f.end()
	s.dead.Sweep() // letters held for the partition come again elsewhere
}

func (s *source) flow(c *kafka.Claim) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flows[c]
}

// Upto is part of kafka.LaneStage.
func (s *source) Upto(c *kafka.Claim) (int64, error) { return s.flow(c).upto() }

// Committed is part of kafka.LaneStage.
func (s *source) Committed(c *kafka.Claim, upto int64) {
	if f := s.flow(c); f != nil {
		f.committed(upto)
	}
}
