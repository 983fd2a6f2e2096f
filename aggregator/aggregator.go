// Package aggregator relays records from the Kafka clusters of the data centres to
// the central one. It opens no value: a record comes out with the key, value, headers
// and timestamp it went in with, and with a dc header if it had none.
//
//	fetched batch -> header -> producer -> one acknowledgement -> source offset
//	                              |
//	                              +-> refused for ever -> dead-letter topic
package aggregator

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// Run relays until ctx ends: a source offset is marked only after the target has
// acknowledged the record or its dead letter, so a crash may double a record in the
// target but loses none.
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
	out, err := kafka.NewProducer(sending, r.target, kafka.ProducerOptions{Produce: a.Produce, Done: r.done})
	if err != nil {
		return fmt.Errorf("produce to kafka %s: %w", a.Target.Kafka, err)
	}
	r.out = out
	r.dead = deadletter.NewWriter(a.DeadLetterTopic, out, deadRetry, log)
	defer out.Close()

	var groups []*kafka.Group
	for i := range a.Sources {
		src := newSource(r, a.Sources[i])
		g, err := kafka.NewGroup(cluster(src.cfg.Kafka), kafka.GroupOptions{
			Consume: a.Consume, Group: src.cfg.Group, Topics: src.cfg.Topics, DrainTimeout: drainTimeout(cfg.ShutdownTimeout.D()),
			MemberFile: kafka.MemberFile(cfg.DataDir, "aggregator", src.cfg.Kafka+"-"+src.cfg.Group),
			Poisoned: func(ctx context.Context, p kafka.Poison) error {
				return r.dead.Keep(ctx, deadletter.Batch(&p, src.cfg.Kafka, "aggregator", ""))
			},
		}, src)
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
	out      *kafka.Producer
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

// overhead is what a record takes of the producer's buffer besides key and value, or a
// little more.
const overhead = 400

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

// done hears of every batch that the target stored or refused for ever.
func (r *relay) done(res *kafka.Result) {
	tags := res.Tags
	for i, j := 0, 0; i < len(tags); i = j {
		j = i + 1
		f, ok := tags[i].Owner.(*flow)
		switch {
		case !ok:
			r.dead.Done(&tags[i], res.Err)
		case res.Err != nil:
			r.bury(f, res.Record, tags[i].Pos, res.Topic, res.Err)
		default:
			for j < len(tags) && tags[j].Owner == tags[i].Owner && tags[j].Pos == tags[j-1].Pos+1 {
				j++
			}
			f.stored(res.Sizes[i:j], res.First, tags[i].Pos, tags[j-1].Pos+1)
		}
	}
}

// source hands the partitions of one consumer group to the producer.
type source struct {
	*relay
	cfg   config.Source
	group *kafka.Group
	label []kafka.Header // the dc header, shared by all records that have no header

	byDC   bool // the target topic depends on the record's dc
	circle bool // target and source are one cluster, so topics have to differ

	mu    sync.Mutex
	flows map[*kafka.Claim]*flow
}

func newSource(r *relay, cfg config.Source) *source {
	dc := cfg.DC
	if dc == "" {
		dc = cfg.Kafka
	}
	target := r.cfg.Aggregator.Target
	return &source{
		relay: r, cfg: cfg, flows: map[*kafka.Claim]*flow{},
		label:  []kafka.Header{{Key: dcKey, Value: []byte(dc)}},
		byDC:   strings.Contains(target.Topic, "{dc}"),
		circle: config.SameCluster(r.cfg.Kafka, cfg.Kafka, target.Kafka),
	}
}

// Assigned is part of kafka.Handler.
func (s *source) Assigned(c *kafka.Claim) {
	counter := func(d *metrics.Def) metrics.Counter { return s.reg.Counter(d, s.cfg.Kafka, c.Topic()) }
	f := &flow{
		claim: c, source: s, routes: map[string]route{},
		in: counter(inEvents), out: counter(outEvents), outBytes: counter(outBytes),
		dead: counter(deadEvents), returned: counter(returnedEvents),
		heldEvents: s.reg.Gauge(heldEvents, s.cfg.Kafka, c.Topic()),
		seconds:    s.reg.Histogram(relaySeconds, s.cfg.Kafka),
	}
	f.changed.L = &f.mu
	s.flowing.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[c] = f
}

// Batch is part of kafka.Handler. It blocks while the partition has its share of the
// producer's buffer, and while a record of it waits to become a dead letter.
func (s *source) Batch(ctx context.Context, c *kafka.Claim, records []kafka.Record) {
	f := s.flow(c)
	clear(f.routes) // partitions may have been added
	for len(records) > 0 {
		share := s.share()
		n, bytes := part(records, share/2)
		if f.wait(ctx, func() bool { return f.letters == 0 && (f.bytes+bytes <= share || f.pending == 0) }) != nil {
			return // the rest is not taken
		}
		f.take(records[:n])
		if sent := f.send(ctx, records[:n]); sent < n {
			f.giveBack(records[sent:n])
			return
		}
		records = records[n:]
	}
}

// part is how many records, one at least, are at most so many bytes with overhead.
func part(records []kafka.Record, most int64) (n int, bytes int64) {
	for n < len(records) {
		b := size(&records[n]) + overhead
		if n > 0 && bytes+b > most {
			break
		}
		n, bytes = n+1, bytes+b
	}
	return n, bytes
}

// send appends records to the producer; it returns how many it took before ctx ended.
func (f *flow) send(ctx context.Context, records []kafka.Record) (sent int) {
	var to route
	var toDC []byte
	var headers []kafka.Header
	for i := range records {
		rec := records[i]
		var dc []byte
		rec.Headers, dc, headers = withDC(rec.Headers, f.source.label, headers, len(records)-i)
		if i == 0 || string(dc) != string(toDC) {
			var err error
			if to, err = f.route(ctx, dc); err != nil {
				return i
			}
			toDC = dc
		}
		if err := f.source.out.Append(ctx, to.topic, f.claim.Partition()%to.partitions, rec, kafka.Tag{Owner: f, Pos: rec.Offset}); err != nil {
			return i
		}
	}
	return len(records)
}

// Revoked is part of kafka.Handler: it waits for all that was taken, but for records
// that nothing will store.
func (s *source) Revoked(ctx context.Context, c *kafka.Claim) {
	f := s.flow(c)
	s.out.Flush()
	f.wait(ctx, func() bool { return f.pending == f.held }) // whatever is left is not committed
	s.drop(c, f)
}

// Lost is part of kafka.Handler.
func (s *source) Lost(c *kafka.Claim) { s.drop(c, s.flow(c)) }

func (s *source) drop(c *kafka.Claim, f *flow) {
	s.flowing.Add(-1)
	s.mu.Lock()
	delete(s.flows, c)
	s.mu.Unlock()
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	s.dead.Sweep() // letters held for the partition come again elsewhere
}

func (s *source) flow(c *kafka.Claim) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flows[c]
}

// flow is the relaying of one claim.
type flow struct {
	claim                             *kafka.Claim
	source                            *source
	in, out, outBytes, dead, returned metrics.Counter
	heldEvents                        metrics.Gauge
	seconds                           metrics.Histogram
	routes                            map[string]route // by dc; owned by Batch, emptied at each

	mu      sync.Mutex
	changed sync.Cond // of the counts below
	pending int       // records taken and neither stored, dead nor given back
	bytes   int64     // of these, with overhead
	letters int       // of these, on their way to the dead-letter topic
	held    int       // of these, refused by it
	gone    bool      // the claim has ended

	warned atomic.Bool // of its first dead letter
}

// wait returns when until is true or ctx has ended, which is an error.
func (f *flow) wait(ctx context.Context, until func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !until() {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.changed.Wait()
	}
	return nil
}

func (f *flow) take(records []kafka.Record) {
	f.in.Add(float64(len(records)))
	f.source.move(len(records))
	bytes := sizes(records)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending += len(records)
	f.bytes += bytes + int64(len(records))*overhead
}

// stored finishes the records of the offsets [from, to), which are of these sizes and
// were sent in a batch whose first one has a time.
func (f *flow) stored(sizes []kafka.Size, first time.Time, from, to int64) {
	var bytes int64
	for _, s := range sizes {
		bytes += int64(s.Key) + int64(s.Value)
	}
	f.claim.DoneAll(from, to)
	f.out.Add(float64(len(sizes)))
	f.outBytes.Add(float64(bytes))
	f.seconds.Observe(time.Since(first).Seconds())
	f.finish(len(sizes), bytes, 0)
}

func (f *flow) giveBack(records []kafka.Record) {
	f.returned.Add(float64(len(records)))
	f.finish(len(records), sizes(records), 0)
}

// finish ends n records, of which some had become letters.
func (f *flow) finish(n int, bytes int64, letters int) {
	f.source.move(-n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending -= n
	f.bytes -= bytes + int64(n)*overhead
	f.letters -= letters
	f.changed.Broadcast()
}

// note changes the counts of letters.
func (f *flow) note(letters, held int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letters += letters
	f.held += held
	f.changed.Broadcast()
}

func (f *flow) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}
