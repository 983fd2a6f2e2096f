// Package indexer is the stage between the central Kafka and Elasticsearch: it reads
// events, finds in their lines what the lines say of themselves, and indexes them in
// bulk.
//
// An offset is committed only after every record before it is stored, was stored
// before under the same id, or is in the dead-letter topic; so a crash may send a
// document twice, which Elasticsearch holds once, and never loses one. Each output
// cluster is a consumer group of its own: one that is down holds up no other.
package indexer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/schemas"
)

// Run indexes until ctx ends, then finishes what was taken, commits and returns nil
// within cfg.ShutdownTimeout, whether Kafka and Elasticsearch answer or not. It needs
// neither of them to start. An error is a wrong configuration.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) error {
	health := st.Need("kafka " + cfg.Indexer.Kafka)
	var outputs []*output
	for i := range cfg.Indexer.Outputs {
		o, err := newOutput(ctx, cfg, &cfg.Indexer.Outputs[i], log, reg, st, health)
		if err != nil {
			for _, o := range outputs {
				o.close()
			}
			return err
		}
		outputs = append(outputs, o)
	}
	if len(outputs) == 0 {
		return errors.New("indexer: no outputs are configured")
	}
	defer context.AfterFunc(ctx, st.Drain)()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(outputs))
	var all sync.WaitGroup
	for i, o := range outputs {
		all.Go(func() {
			if errs[i] = o.run(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// output is one cluster with its consumer group. It is the group's Handler.
type output struct {
	cfg     *config.Indexer
	name    string
	zone    *time.Location
	pattern *pattern
	log     *slog.Logger
	fig     *figures
	target  *target
	dead    *deadLetters
	group   *kafka.Group
	stop    context.CancelFunc // ends sending

	mu     sync.Mutex
	claims map[*kafka.Claim]*claim // guarded by mu
}

func newOutput(ctx context.Context, cfg *config.Config, o *config.Output, log *slog.Logger, reg *metrics.Registry, st *admin.State, kafkaHealth *admin.Dependency) (*output, error) {
	ix := &cfg.Indexer
	log = log.With("output", o.Name)
	out := &output{cfg: ix, name: o.Name, log: log, fig: newFigures(reg, o.Name), claims: map[*kafka.Claim]*claim{}}
	fail := func(err error) (*output, error) { return nil, fmt.Errorf("output %s: %w", o.Name, err) }
	var err error
	if out.zone, err = time.LoadLocation(ix.Timezone); err != nil {
		return fail(fmt.Errorf("timezone: %w", err))
	}
	if out.pattern, err = newPattern(o.Index); err != nil {
		return fail(err)
	}
	conf, ok := cfg.Kafka[ix.Kafka]
	if !ok {
		return fail(fmt.Errorf("kafka cluster %q is not configured", ix.Kafka))
	}
	cluster := &kafka.Cluster{Name: ix.Kafka, Config: conf, Log: log, Metrics: reg, Health: kafkaHealth}
	options := kafka.GroupOptions{Consume: ix.Consume, Group: ix.Group + "-" + o.Name, Topics: ix.Topics, DrainTimeout: drainTimeout(cfg.ShutdownTimeout.D())}
	if out.group, err = kafka.NewGroup(cluster, options, out); err != nil {
		return fail(err)
	}
	sending, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends after the group has drained
	out.stop = stop
	if out.target, err = newTarget(sending, o, log, out.fig, st.Need("elasticsearch "+o.Name)); err != nil {
		stop()
		return fail(err)
	}
	if out.dead, err = newDeadLetters(sending, cluster, kafka.ProducerOptions{Produce: ix.Produce}, ix.DeadLetterTopic, o.Name, o.Bulk.RetryMax.D(), log, out.fig); err != nil {
		stop()
		return fail(err)
	}
	out.target.dead = out.dead
	st.Section("output "+o.Name, out.status)
	return out, nil
}

// drainTimeout leaves a part of the time to stop for the last commit and for leaving,
// for which the group may take a second.
func drainTimeout(all time.Duration) time.Duration {
	return max(all/2, all-2*time.Second)
}

func (o *output) run(ctx context.Context) error {
	o.target.flushes.Go(func() { o.target.greet(o.target.ctx) })
	err := o.group.Run(ctx)
	o.close()
	return err
}

func (o *output) close() {
	o.stop()
	o.target.flushIf(func(*bulk) bool { return true }) // of a partition that was lost: given back
	o.target.flushes.Wait()
	if err := o.dead.close(); err != nil {
		o.log.Warn("close the dead-letter producer", "error", err)
	}
}

// Assigned implements kafka.Handler.
func (o *output) Assigned(k *kafka.Claim) {
	c := &claim{marker: k, codec: o.cfg.Codecs[k.Topic()], idle: make(chan struct{}, 1)}
	c.enc.original = o.cfg.EventOriginal
	c.enc.names.pattern = o.pattern
	c.enc.parser.zone = o.zone
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claims[k] = c
}

func (o *output) claim(k *kafka.Claim) *claim {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.claims[k]
}

// Batch implements kafka.Handler: parsing runs in the partition's own goroutine, into
// a chunk that is then copied to the bulk being filled.
func (o *output) Batch(ctx context.Context, k *kafka.Claim, records []kafka.Record) {
	o.take(ctx, o.claim(k), records)
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func (o *output) take(ctx context.Context, c *claim, records []kafka.Record) {
	ch := chunks.Get().(*chunk)
	c.enc.now = schemas.AppendTime(c.enc.now[:0], time.Now())
	topic, partition := c.Topic(), c.Partition()
	for i := range records {
		r := &records[i]
		ch.buf = c.enc.append(ch.buf, r, c.codec, topic, partition)
		ch.items = append(ch.items, item{end: len(ch.buf), claim: c, record: *r})
		if len(r.Value) > chunkBytes/2 {
			c.enc.shed()
		}
		if len(ch.buf) < chunkBytes && i < len(records)-1 {
			continue
		}
		err := o.target.add(ctx, c, ch)
		clear(ch.items)
		ch.buf, ch.items = ch.buf[:0], ch.items[:0]
		if err != nil {
			break // the rest is read again
		}
	}
	o.fig.encoded(&c.enc)
	if cap(ch.buf) <= 4*chunkBytes {
		chunks.Put(ch)
	}
}

// Revoked implements kafka.Handler: what is held is sent, and its outcome awaited.
func (o *output) Revoked(ctx context.Context, k *kafka.Claim) {
	c := o.claim(k)
	defer o.forget(k, c)
	for c.open.Load() > 0 {
		o.target.flushIf(func(*bulk) bool { return true })
		o.dead.flush()
		select {
		case <-c.idle:
		case <-time.After(50 * time.Millisecond): // dead letters may have been written since
		case <-ctx.Done():
			o.log.Warn("a partition is given up with events unfinished, they will be read again", "topic", c.Topic(), "partition", c.Partition(), "events", c.open.Load())
			return
		}
	}
}

// Lost implements kafka.Handler.
func (o *output) Lost(k *kafka.Claim) { o.forget(k, o.claim(k)) }

func (o *output) forget(k *kafka.Claim, c *claim) {
	c.over.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.claims, k)
}

// status is the section of /status.
func (o *output) status() any {
	limit, busy, waiting := o.target.limit.state()
	out := struct {
		Group       any    `json:"group"`
		Concurrency int    `json:"concurrency"`
		Busy        int    `json:"requests_under_way"`
		Waiting     int    `json:"bulks_waiting"`
		Free        int    `json:"bulks_free"`
		BulkBytes   int64  `json:"bulk_bytes"`
		Trouble     string `json:"trouble,omitempty"`
	}{o.group.Status(), limit, busy, waiting, len(o.target.free), o.target.bytes.Load(), ""}
	if s := o.target.trouble.Load(); s != nil {
		out.Trouble = *s
	}
	return out
}
