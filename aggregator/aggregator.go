// Package aggregator relays records from the Kafka clusters of the data centres to
// the central one. A batch goes on as it was stored, unopened, unless something in it has to
// be changed or looked at; a record comes out with the key, value, headers and timestamp
// that its producer gave it, and with a dc header if it had none.
//
//	fetched batch -> its header -> producer -> transaction, with where to read on
//	        \-> records -> joined with others -/       \-> refused for ever -> dead-letter topic
package aggregator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Run relays until ctx ends. With exactly-once delivery a record and the offset after it
// are stored in the target at once, so whoever reads what is committed has it once, whatever
// ends when. With at-least-once delivery a source offset is marked only after the target has
// acknowledged the record or its dead letter: a crash may double a record in the target but
// loses none.
//
// When ctx ends it stops taking, waits for what it took, commits and returns nil,
// within cfg.ShutdownTimeout even when a cluster is away: what was not acknowledged
// is then not committed and comes again. The configuration is one
// that cfg.Validate allows. An error, then a *config.Error, says that records would go
// round in a circle, which only the topics there are can show.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, reg *metrics.Registry, st *admin.State) error {
	a := &cfg.Aggregator
	clusters := map[string]*kafka.Cluster{}
	cluster := func(name string) *kafka.Cluster {
		if clusters[name] == nil {
			clusters[name] = &kafka.Cluster{Name: name, Config: cfg.Kafka[name], Log: log, Metrics: reg, Health: st.Need("kafka " + name)}
		}
		return clusters[name]
	}

	taking, stop := context.WithCancel(ctx)
	defer stop()
	r := &relay{cfg: cfg, log: log, reg: reg, target: cluster(a.Target.Kafka), inFlight: reg.Gauge(inFlight), stop: stop}
	// The producer and the dead letters outlive ctx: they are what is waited for.
	sending, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	out, err := kafka.NewProducer(sending, r.target, kafka.ProducerOptions{Produce: a.Produce, Done: r.Done})
	if err != nil {
		return fmt.Errorf("produce to kafka %s: %w", a.Target.Kafka, err)
	}
	r.out = out
	r.dead = deadletter.NewWriter(a.DeadLetterTopic, out, deadRetry, log)
	defer out.Close()

	memory := kafka.NewMemory(int64(a.Produce.Buffer))
	var groups []*kafka.Group
	for i := range a.Sources {
		src := newSource(r, a.Sources[i])
		if a.Delivery == config.ExactlyOnce {
			if src.lanes, err = src.newLanes(memory); err != nil {
				return fmt.Errorf("produce to kafka %s: %w", a.Target.Kafka, err)
			}
			defer src.lanes.Close()
		}
		g, err := kafka.NewGroup(cluster(src.cfg.Kafka), src.groupOptions(), src)
		if err != nil {
			return fmt.Errorf("consume from kafka %s: %w", src.cfg.Kafka, err)
		}
		src.group = g
		groups = append(groups, g)
		r.sources = append(r.sources, src)
	}
	st.Section("relay", r.status)

	var consuming, burying sync.WaitGroup
	burying.Go(func() { r.dead.Run(sending) })
	for i, g := range groups {
		consuming.Go(func() {
			if err := g.Run(taking); err != nil {
				r.fail(fmt.Errorf("consume from kafka %s: %w", a.Sources[i].Kafka, err))
			}
		})
	}
	<-taking.Done()
	st.Drain()
	consuming.Wait()
	if n := r.taken.Load(); n > 0 {
		log.Warn("stopped with events that the target did not acknowledge: they come again", "events", n)
	}
	out.Close()
	end()
	burying.Wait()
	r.dead.Close()
	return r.failure
}

// drainTimeout leaves time for committing and leaving, which take a second at most.
func drainTimeout(shutdown time.Duration) time.Duration {
	return max(shutdown/2, shutdown-1500*time.Millisecond)
}

// relay is what the sources share.
type relay struct {
	cfg      *config.Config
	log      *slog.Logger
	reg      *metrics.Registry
	target   *kafka.Cluster
	out      *kafka.Producer // of dead letters, and without lanes of all
	dead     *deadletter.Writer
	sources  []*source
	flowing  atomic.Int64  // partitions that are ours
	taken    atomic.Int64  // records in flight
	inFlight metrics.Gauge // the same

	stop    context.CancelFunc
	once    sync.Once
	failure error // set once before stop; read when all sources have ended
}

// fail ends Run with err.
func (r *relay) fail(err error) {
	r.once.Do(func() {
		r.failure = err
		r.stop()
	})
}

// share is how many bytes in flight a partition may have before it waits: all shares
// together fill the producer's buffer, so partitions that go where no leader is leave
// room for the others.
func (r *relay) share() int64 {
	return int64(r.cfg.Aggregator.Produce.Buffer) / max(1, r.flowing.Load())
}

// move counts records into flight and out of it.
func (r *relay) move(n int) {
	r.taken.Add(int64(n))
	r.inFlight.Add(float64(n))
}

// Done hears of every batch that the target stored or refused for ever.
func (r *relay) Done(res *kafka.Result) {
	tags := res.Tags
	for i, j := 0, 0; i < len(tags); i = j {
		j = i + 1
		f, ok := tags[i].Owner.(*flow)
		switch {
		case !ok:
			r.dead.Done(&tags[i], res.Err)
		case errors.Is(res.Err, kafka.ErrAborted) || errors.Is(res.Err, kafka.ErrFenced): // its lane begins anew
		case res.Err != nil && res.Count > 1:
			f.unopenable(tags[i].Pos, res)
		case res.Err != nil:
			f.refused(res.Record, tags[i].Pos, res.Topic, res.Err)
		case len(res.Sizes) == 0: // of AppendStored
			f.stored(res.Count, res.Bytes, res.First, tags[i].Pos)
		default:
			var bytes int64
			for ; ; j++ {
				bytes += int64(res.Sizes[j-1].Key) + int64(res.Sizes[j-1].Value)
				if j == len(tags) || tags[j].Owner != tags[i].Owner || tags[j].Pos != tags[j-1].Pos+1 {
					break
				}
			}
			f.stored(j-i, bytes, res.First, tags[i].Pos)
		}
	}
}
