package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/wake"
)

// Producer writes records to the partitions it is told, in batches.
//
//	Append -> partition: batch being filled -> packers -> packed batches -> sender -> link -> broker
//	                                                                            \-> outbox -> Done
//
// A record that Append took is stored once on all in-sync replicas, in the order of
// its partition, however often it takes to get there; only what no try can store is
// handed back, one record at a time, through Result.Err. One batch of a partition is
// under way at a time, many partitions are in parallel, and one that cannot be
// written holds up no other.
//
// What is held is bounded in bytes: Append then waits. All methods are safe for
// concurrent use.
type Producer struct {
	cluster *Cluster
	opts    ProducerOptions
	codec   wire.Codec
	conf    *sarama.Config
	dialer  *dialer
	cancel  context.CancelFunc
	running sync.WaitGroup // sender, scout, transaction
	links   sync.WaitGroup // started by the sender
	calls   sync.WaitGroup // outbox
	closed  atomic.Bool

	budget  *budget
	held    atomic.Int64 // of the budget
	pending atomic.Int64 // records without a callback yet
	drained *sync.Cond   // pending fell to 0
	linger  atomic.Int32 // > 0: somebody drains, nothing lingers

	mu     sync.Mutex // for adding topics and partitions
	topics atomic.Pointer[map[string]*topic]
	lanes  int
	lane   int // of the next partition; guarded by mu

	txn        *txn         // nil without a transactional id
	generation atomic.Int64 // transactions begun

	packers *packers
	sender  *sender
	scout   *scout
	outbox  *outbox
	packing atomic.Int32 // batches that are packed or wait for it
	busy    atomic.Int32 // partitions with a batch under way
	full    func()       // what to do when the budget is used up; a method value made once
}

type topic struct {
	name  string
	parts atomic.Pointer[[]*partition] // those that were appended to, by number; nil in between
	count atomic.Int32                 // of partitions in the cluster; 0 unknown
	known chan struct{}                // closed when count is known

	density atomic.Int64 // bytes before compression that make a KiB on the wire, rather too few; 0 unknown

	records, bytes, batches, resets metrics.Counter
}

// partition gathers the records of one partition.
type partition struct {
	topic *topic
	num   int32
	lane  int

	mu      sync.Mutex
	cur     *batch    // being filled; guarded by mu
	due     bool      // cur is to be sent as it is; guarded by mu
	full    []*batch  // being packed, or packed; first in, first out; guarded by mu
	writing bool      // a Writer has the partition; guarded by mu
	missed  bool      // meanwhile the batch that it has became due; guarded by mu
	free    sync.Cond // writing became false; L is mu
	told    bool      // the sender knows that there may be something; guarded by mu
	limit   int64     // of a batch's bytes: grow and shrink; guarded by mu
	meek    bool      // limit is what it is because the broker refused a batch; guarded by mu
	size    int       // records of the last batch, for choosing a slab; guarded by mu
	bytes   int       // of those; guarded by mu

	delivery // owned by the sender
}

// NewProducer starts a producer, which lives until Close whatever becomes of ctx. It
// does not need the cluster to be up: it connects in the background, and tries for
// ever. An error is a wrong configuration.
func NewProducer(ctx context.Context, c *Cluster, o ProducerOptions) (*Producer, error) {
	codec, err := codecOf(o.Compression)
	if err != nil {
		return nil, fmt.Errorf("produce to %s: %w", c.Name, err)
	}
	if o.BatchBytes <= 0 || o.BatchRecords <= 0 || o.Buffer <= 0 {
		return nil, fmt.Errorf("produce to %s: batch_bytes, batch_records and buffer must be above 0", c.Name)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := newDialer(ctx, c.waits())
	conf, err := c.sarama(d)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &Producer{cluster: c, opts: o, codec: codec, conf: conf, dialer: d, cancel: cancel, drained: sync.NewCond(new(sync.Mutex))}
	p.lanes = min(runtime.GOMAXPROCS(0), 4)
	p.budget = &budget{limit: int64(o.Buffer)}
	if o.Memory != nil {
		p.budget = &o.Memory.budget
	}
	p.topics.Store(&map[string]*topic{})
	p.full = p.unlinger
	p.outbox = newOutbox(p)
	p.scout = newScout(p)
	p.sender = newSender(p)
	p.packers = newPackers(p)
	if o.TransactionalID != "" {
		p.lanes = 1 // there is such a producer for every partition that is read
		p.txn = newTxn(p, o.TransactionalID)
		p.running.Go(func() { p.txn.run(ctx) })
	}
	p.calls.Go(func() { p.outbox.run(ctx) })
	p.packers.start(ctx)
	p.running.Go(func() { p.scout.run(ctx) })
	p.running.Go(func() { p.sender.run(ctx) })
	return p, nil
}

func (p *Producer) txnID() *string {
	if p.txn == nil {
		return nil
	}
	return &p.txn.id
}

func codecOf(s string) (wire.Codec, error) {
	switch s {
	case "none", "":
		return wire.None, nil
	case "lz4":
		return wire.LZ4, nil
	case "zstd":
		return wire.Zstd, nil
	case "snappy":
		return wire.Snappy, nil
	case "gzip":
		return wire.Gzip, nil
	}
	return 0, fmt.Errorf("compression %s is none of none, lz4, zstd, snappy, gzip", strconv.Quote(s))
}

// Append adds a record to the end of a partition. It waits while the buffer is full;
// those who wait are served in their order. What r points to is copied into the batch
// and is the caller's again. An error (ctx ended, ErrClosed) means that the record was
// not taken.
func (p *Producer) Append(ctx context.Context, topic string, partition int32, r Record, tag Tag) error {
	if partition < 0 || partition > 1<<20 {
		return fmt.Errorf("append to %s/%d: no such partition", topic, partition)
	}
	if err := p.open(); err != nil {
		return err
	}
	part := p.partition(topic, partition)
	size := wireSize(&r)
	if err := p.hold(ctx, size+heldOverhead); err != nil {
		return err
	}
	p.pending.Add(1)
	p.add(part, &r, tag, size)
	return nil
}

// open is why no records are taken, or nil.
func (p *Producer) open() error {
	if p.closed.Load() {
		return ErrClosed
	}
	if p.txn == nil {
		return nil
	}
	switch p.txn.now() {
	case txnOpen, txnBroken:
		return nil
	case txnFenced:
		return p.txn.reason()
	}
	return ErrNoTransaction
}

func (p *Producer) add(part *partition, r *Record, tag Tag, size int64) {
	part.mu.Lock()
	part.wait()
	opened := part.room(p, size)
	b := part.cur
	b.add(r, tag, size+heldOverhead)
	part.filled(p)
	lingers := opened && part.cur == b
	since := b.opened
	part.mu.Unlock()
	if lingers {
		p.sender.inbox.open(opening{part, since})
	}
}

// wait waits until no Writer has the partition. The caller holds mu.
func (part *partition) wait() {
	for part.writing {
		part.free.Wait()
	}
}

// release ends the Writer that has the partition. The caller holds mu.
func (part *partition) release() {
	part.writing, part.missed = false, false
	part.free.Broadcast() // several may go on: those who append have it but for a moment
}

// room makes sure that a record of about so many bytes fits the batch being filled; it
// says whether that is a new one. The caller holds mu.
func (part *partition) room(p *Producer, size int64) (opened bool) {
	if part.cur != nil && part.cur.bytes+size > part.limit {
		part.seal(p)
	}
	if part.cur != nil {
		return false
	}
	part.cur = newBatch(part, part.size, max(int(size), part.bytes))
	part.cur.opened, part.cur.generation = time.Now(), p.generation.Load()
	return true
}

// filled seals the batch being filled if it is large enough. The caller holds mu.
func (part *partition) filled(p *Producer) {
	b := part.cur
	if b.bytes < min(part.limit, int64(p.opts.BatchBytes)) && len(b.tags) < p.opts.BatchRecords {
		return
	}
	if part.told && b.bytes < part.limit && len(b.tags) < stretch*p.opts.BatchRecords {
		part.due = true // goes as soon as the one under way is answered, and grows until then
	} else {
		part.seal(p)
	}
}

// seal ends the batch being filled. The sender hears of it when it is packed. The
// caller holds mu.
func (part *partition) seal(p *Producer) {
	b := part.cur
	part.cur, part.due = nil, false
	part.put(p, b)
}

// put has a batch packed; it comes after all that were put before. The caller holds mu.
func (part *partition) put(p *Producer, b *batch) {
	part.size, part.bytes = len(b.tags), int(b.bytes)
	part.full = append(part.full, b)
	part.told = true
	p.packers.put(b)
}

// isPacked makes a batch one that may be sent.
func (part *partition) isPacked(b *batch, sender *inbox) {
	part.mu.Lock()
	b.ready = true
	first := b.part || part.full[0] == b
	part.mu.Unlock()
	if first {
		sender.ready(part)
	}
}

// anyGeneration is for take: of whichever transaction.
const anyGeneration = math.MaxInt64

// take is the next batch to send, or nil: then the sender has to be told again. all
// means lingering ones as well; none of a transaction younger than of is taken.
func (part *partition) take(p *Producer, all bool, of int64) *batch {
	part.mu.Lock()
	defer part.mu.Unlock()
	if len(part.full) == 0 && part.cur != nil && (part.due || all) && part.cur.generation <= of {
		part.seal(p)
	}
	if len(part.full) == 0 {
		part.told = false
		return nil
	}
	b := part.full[0]
	if b.generation > of || !b.ready { // the sender was told of it, or will be
		return nil
	}
	n := copy(part.full, part.full[1:])
	part.full[n] = nil
	part.full = part.full[:n]
	return b
}

// isReady says whether a batch is packed.
func (part *partition) isReady(b *batch) bool {
	part.mu.Lock()
	defer part.mu.Unlock()
	return b.ready
}

// ripen makes the batch that was opened then ready to go, if it is still being filled.
func (part *partition) ripen(opened time.Time) bool {
	part.mu.Lock()
	defer part.mu.Unlock()
	part.missed = part.missed || part.writing
	if part.cur == nil || !part.cur.opened.Equal(opened) {
		return false
	}
	part.due, part.told = true, true
	return true
}

func (p *Producer) partition(name string, num int32) *partition {
	t := (*p.topics.Load())[name]
	if t == nil {
		t = p.topic(name)
	}
	if parts := *t.parts.Load(); int(num) < len(parts) && parts[num] != nil {
		return parts[num]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	parts := *t.parts.Load()
	if int(num) < len(parts) && parts[num] != nil {
		return parts[num]
	}
	grown := make([]*partition, max(len(parts), int(num)+1))
	copy(grown, parts)
	part := &partition{topic: t, num: num, lane: p.lane % p.lanes, limit: int64(p.opts.BatchBytes)}
	p.lane++
	part.free.L = &part.mu
	grown[num] = part
	t.parts.Store(&grown)
	return part
}

// topic returns the topic, adding it to those whose metadata are read.
func (p *Producer) topic(name string) *topic {
	p.mu.Lock()
	defer p.mu.Unlock()
	topics := *p.topics.Load()
	if t := topics[name]; t != nil {
		return t
	}
	reg, cluster := p.cluster.registry(), p.cluster.Name
	t := &topic{
		name: name, known: make(chan struct{}),
		records: reg.Counter(producedRecords, cluster, name), bytes: reg.Counter(producedBytes, cluster, name),
		batches: reg.Counter(producedBatches, cluster, name), resets: reg.Counter(producerResets, cluster, name),
	}
	t.parts.Store(new([]*partition))
	topics = maps.Clone(topics)
	topics[name] = t
	p.topics.Store(&topics)
	p.scout.look()
	return t
}

// Partitions is how many partitions the topic has. It waits until that is known,
// while the cluster is away and while the topic does not exist; clusters that create
// topics by themselves do so now. It costs a look into a map afterwards; the number
// follows the cluster's within half a minute.
func (p *Producer) Partitions(ctx context.Context, name string) (int32, error) {
	t := (*p.topics.Load())[name]
	if t == nil {
		t = p.topic(name)
	}
	if n := t.count.Load(); n > 0 {
		return n, nil
	}
	select {
	case <-t.known:
		return t.count.Load(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("find out the partitions of %s on %s: %w", name, p.cluster.Name, ctx.Err())
	case <-p.dialer.ctx.Done():
		return 0, ErrClosed
	}
}

// Flush sends what is held now without lingering. It does not wait.
func (p *Producer) Flush() { p.sender.inbox.flushAll() }

// unlinger sends what lingers if it is all that fills the buffer. While something is
// under way, there will be room, and batches had better get full.
func (p *Producer) unlinger() {
	if p.busy.Load() == 0 && p.packing.Load() == 0 {
		p.Flush()
	}
}

// InFlight is the memory of the records that have had no callback, in bytes.
func (p *Producer) InFlight() int64 { return p.held.Load() }

// Drain sends all that is held and waits until every record has had its callback, or
// until ctx ends: then it returns how many had not.
func (p *Producer) Drain(ctx context.Context) error {
	p.linger.Add(1)
	defer p.linger.Add(-1)
	p.Flush()
	stop := context.AfterFunc(ctx, func() {
		p.drained.L.Lock()
		defer p.drained.L.Unlock()
		p.drained.Broadcast()
	})
	defer stop()
	p.drained.L.Lock()
	defer p.drained.L.Unlock()
	for p.pending.Load() > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("drain %s: %d records not acknowledged: %w", p.cluster.Name, p.pending.Load(), ctx.Err())
		}
		if p.closed.Load() {
			return ErrClosed
		}
		p.drained.Wait()
	}
	return nil
}

// Close stops at once: records that are not acknowledged get no callback, and those
// who wait in Append or Drain get ErrClosed. No callback runs after it returns.
func (p *Producer) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.cancel()
	p.dialer.Close()
	p.drained.L.Lock()
	p.drained.Broadcast()
	p.drained.L.Unlock()
	p.calls.Wait()
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		p.links.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(2 * time.Second): // sarama waits out what a broker's quota makes it wait; then they end
	}
	p.budget.give(p.held.Swap(0)) // others may share it
	return nil
}

// outbox calls the stage back, in the order in which batches were finished.
type outbox struct {
	p    *Producer
	wake wake.Signal

	mu    sync.Mutex
	queue []finished // guarded by mu

	size, latency metrics.Histogram
	held          metrics.Gauge
}

type finished struct {
	b      *batch
	offset int64
	err    error
	code   string // of err, for the metric
}

func newOutbox(p *Producer) *outbox {
	reg, cluster := p.cluster.registry(), p.cluster.Name
	return &outbox{p: p, wake: wake.New(),
		size: reg.Histogram(batchBytes, cluster), latency: reg.Histogram(produceLatency, cluster), held: reg.Gauge(produceHeld, cluster)}
}

func (o *outbox) put(f finished) {
	o.mu.Lock()
	o.queue = append(o.queue, f)
	o.mu.Unlock()
	o.wake.Raise()
}

func (o *outbox) run(ctx context.Context) {
	var work []finished
	for {
		o.mu.Lock()
		work, o.queue = o.queue, work[:0]
		o.mu.Unlock()
		for i := range work {
			if ctx.Err() != nil {
				return
			}
			o.finish(&work[i])
			work[i] = finished{}
		}
		if len(work) > 0 {
			continue
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (o *outbox) finish(f *finished) {
	b, p := f.b, o.p
	t := b.p.topic
	res := Result{Topic: t.name, Partition: b.p.num, BaseOffset: f.offset, Count: b.count(), Tags: b.tags, Sizes: b.sizes, Bytes: b.bytes, First: b.first, Err: f.err}
	if f.err == nil {
		t.records.Add(float64(b.count()))
		t.bytes.Add(float64(b.bytes))
		t.batches.Inc()
		o.size.Observe(float64(b.bytes))
		o.latency.Observe(time.Since(b.sent).Seconds())
	} else if !errors.Is(f.err, ErrAborted) && !errors.Is(f.err, ErrFenced) {
		p.cluster.registry().Counter(refusedRecords, p.cluster.Name, t.name, f.code).Add(float64(b.count()))
		res.Record = b.record()
	}
	if p.opts.Done != nil {
		p.opts.Done(&res)
	}
	n, held := int64(b.count()), b.held
	b.recycle()
	o.held.Set(float64(p.held.Add(-held)))
	p.budget.give(held)
	if p.pending.Add(-n) == 0 {
		p.drained.L.Lock()
		p.drained.Broadcast()
		p.drained.L.Unlock()
	}
}
