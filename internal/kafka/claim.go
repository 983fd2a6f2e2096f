package kafka

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/ack"
	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/wake"
)

const (
	batchMost = 4096      // records of one Batch call
	chunk     = 256 << 10 // held bytes are given back in pieces of this size
)

// Claim is one partition while it is ours. Its methods are safe for concurrent use.
//
//	fetchLoop -> push -> sets (bounded in bytes by pausing the fetch) -> read -> Views, Batch or Stored -> Done -> mark
//	sarama -> feed -> queue (the same, from brokers that are too old) -> work -> Views or Batch -> Done -> mark
type Claim struct {
	g         *Group
	topic     string
	partition int32
	from      int64
	session   sarama.ConsumerGroupSession
	source    sarama.ConsumerGroupClaim

	ctx    context.Context // ends with the claim
	end    context.CancelFunc
	taking context.Context // ends when no more is handed out
	stop   context.CancelFunc
	wake   wake.Signal // the queue has something

	stream *stream      // what is fetched for it; nil: sarama fetches
	origin origin       // of from
	ids    wire.TopicID // of the log that is read
	wired  bool         // we fetch ourselves
	anew   chan error   // cap 1: the claim is to begin anew, and why
	final  chan error   // cap 1: the same, when all that was fetched is handed out
	why    error        // it is to begin anew; set by feed
	reader wire.Reader  // owned by work
	heavy  atomic.Int64 // bytes taken of Group.large

	mu     sync.Mutex
	sets   []fetched                 // by the fetcher, not handed out; guarded by mu
	acks   *ack.Tracker              // guarded by mu
	queue  []*sarama.ConsumerMessage // fetched, not handed out; guarded by mu
	queued int64                     // bytes of queue; guarded by mu
	pieces []piece                   // handed out, not below the mark; guarded by mu
	open   int64                     // bytes of pieces; guarded by mu
	paused bool                      // guarded by mu
	over   bool                      // nothing is marked any more; guarded by mu
	start  int64                     // start of the log when last looked; guarded by mu
	newest int64                     // end of the log when last looked; guarded by mu
	marked int64                     // mark when last looked; guarded by mu

	lag            metrics.Gauge
	records, bytes metrics.Counter
}

// piece is a run of handed-out records that ends before an offset.
type piece struct {
	end   int64
	bytes int64
	epoch int32       // of the leader that stored the last of them
	block *wire.Block // that they are views of; nil: there is none
}

// Topic is the claim's topic.
func (c *Claim) Topic() string { return c.topic }

// Partition is the claim's partition.
func (c *Claim) Partition() int32 { return c.partition }

// From is the offset that the claim began at: the committed one, or the start of the
// log.
func (c *Claim) From() int64 { return c.from }

// Context ends when the claim does: after Handler.Revoked has returned, or before
// Handler.Lost.
func (c *Claim) Context() context.Context { return c.ctx }

// HighWatermark is the end of the partition as last heard of.
func (c *Claim) HighWatermark() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.top()
}

// top is the end of the log. The caller holds mu.
func (c *Claim) top() int64 {
	if c.wired {
		return c.newest
	}
	return max(c.source.HighWaterMarkOffset(), c.newest)
}

// Mark is the offset below which all is finished; it is committed once a second.
func (c *Claim) Mark() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks.Mark()
}

// Done finishes the record at an offset, once or again and in any order. After the
// claim has ended it does nothing.
func (c *Claim) Done(offset int64) { c.DoneAll(offset, offset+1) }

// DoneAll finishes the records from one offset up to another, exclusive.
func (c *Claim) DoneAll(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	moved := false
	for o := max(from, c.acks.Mark()); o < to && o < c.acks.Next(); o++ {
		moved = c.acks.Done(o) || moved
	}
	if !moved {
		return
	}
	mark, n := c.acks.Mark(), 0
	for n < len(c.pieces) && c.pieces[n].end <= mark {
		p := c.pieces[n]
		c.hold(-p.bytes)
		c.open -= p.bytes
		if c.origin.epoch = p.epoch; p.block != nil {
			p.block.Free()
		}
		n++
	}
	rest := copy(c.pieces, c.pieces[n:])
	clear(c.pieces[rest:])
	c.pieces = c.pieces[:rest]
	c.throttle()
}

// hold counts bytes that are held more. The caller holds mu.
func (c *Claim) hold(n int64) { c.g.held.Add(n) }

// throttle pauses the fetch of the partition when it holds more than its share, and
// resumes it at half of that. The caller holds mu.
func (c *Claim) throttle() {
	held, share := c.queued+c.open, c.g.share.Load()
	switch {
	case !c.paused && held > share && !c.over:
		c.paused = true
		if c.stream != nil {
			c.g.fetch.room(c.stream, false)
		} else {
			c.g.consumer().Pause(map[string][]int32{c.topic: {c.partition}})
		}
	case c.paused && held <= share/2:
		c.paused = false
		if c.stream != nil {
			c.g.fetch.room(c.stream, true)
		} else {
			c.g.consumer().Resume(map[string][]int32{c.topic: {c.partition}})
		}
	}
	if c.stream != nil && c.open <= share {
		c.wake.Raise()
	}
}

// consume runs the claim until it is taken away or begins anew; it is called by sarama,
// and when the last one returns the marks are committed.
func (c *Claim) consume() {
	var worker sync.WaitGroup
	worker.Go(c.work)
	c.feed()
	revoked := c.session.Context().Err() == nil || !lost(context.Cause(c.session.Context()))
	if c.stream != nil {
		c.g.fetch.remove(c.stream)
	}
	c.stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.g.opts.DrainTimeout)
	defer cancel()
	idle := make(chan struct{})
	go func() {
		worker.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-drain.Done(): // the handler does not let go of a batch
		c.finish(true)
		go func() {
			<-idle
			c.g.handler.Lost(c)
		}()
		return
	}
	if revoked {
		c.g.handler.Revoked(drain, c)
		c.finish(true)
	} else {
		c.finish(false)
		c.g.handler.Lost(c)
	}
}

// finish ends the claim: with a last mark, or without when it is another's already.
func (c *Claim) finish(mark bool) {
	c.mu.Lock()
	if mark {
		c.publish()
	}
	c.over = true
	c.hold(-c.queued - c.open)
	for _, p := range c.pieces {
		if p.block != nil {
			p.block.Keep() // the handler may still look at it
			p.block.Free()
		}
	}
	for _, s := range c.sets {
		s.block.Free()
	}
	c.queued, c.open, c.queue, c.pieces, c.sets = 0, 0, nil, nil, nil
	c.throttle() // sarama would remember the pause for the next claim
	c.mu.Unlock()
	c.end()
}

// publish hands the mark to sarama, which commits it. The caller holds mu.
func (c *Claim) publish() {
	if c.over {
		return
	}
	text := origin{c.ids, c.origin.epoch}.String()
	if c.g.opts.Lanes != nil {
		text = cmp.Or(text, origin{epoch: -1}.text()) + " " + markWord
	}
	c.session.MarkOffset(c.topic, c.partition, c.acks.Mark(), text)
}

// feed takes what sarama has fetched, never waiting for the handler: while it waited,
// sarama would fetch nothing for any partition of the same broker. It returns when the
// claim ends. Where we fetch ourselves that is all it waits for.
func (c *Claim) feed() {
	var got []*sarama.ConsumerMessage
	for {
		select {
		case m, ok := <-c.source.Messages():
			if !ok {
				return
			}
			if c.stream != nil || m.Offset < c.from { // sarama began before
				continue
			}
			got = append(got[:0], m)
		case c.why = <-c.anew:
			return
		case <-c.session.Context().Done():
			return
		}
	more:
		for len(got) < 1024 {
			select {
			case m, ok := <-c.source.Messages():
				if !ok {
					break more
				}
				if c.stream == nil && m.Offset >= c.from {
					got = append(got, m)
				}
			default:
				break more
			}
		}
		c.queueMessages(got)
		clear(got)
	}
}

func (c *Claim) queueMessages(got []*sarama.ConsumerMessage) {
	var bytes, plain int64
	for _, m := range got {
		held := heldSize(m)
		bytes += held
		plain += held - recordOverhead - int64(len(m.Headers))*pairOverhead
	}
	c.records.Add(float64(len(got)))
	c.bytes.Add(float64(plain))
	c.mu.Lock()
	c.queue = append(c.queue, got...)
	c.queued += bytes
	c.hold(bytes)
	c.throttle()
	c.mu.Unlock()
	c.wake.Raise()
}

// What a fetched record and each of its headers cost in memory beside their bytes, where
// they are not views.
const (
	recordOverhead = 256
	pairOverhead   = 48
)

func heldSize(m *sarama.ConsumerMessage) int64 {
	n := len(m.Key) + len(m.Value) + recordOverhead
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + pairOverhead
	}
	return int64(n)
}

// work hands what is queued to the handler, all of it at once up to a limit.
func (c *Claim) work() {
	if c.stream != nil {
		c.read()
		return
	}
	var records []Record
	for {
		select {
		case <-c.wake:
		case <-c.taking.Done():
			return
		}
		for c.taking.Err() == nil {
			records = c.take(records[:0])
			if len(records) == 0 {
				break
			}
			if g := c.g; g.views != nil {
				g.views.Views(c.taking, c, viewsOf(records))
			} else {
				g.records.Batch(c.taking, c, records)
			}
			clear(records)
		}
	}
}

// take moves the head of the queue to dst and to what is handed out.
func (c *Claim) take(dst []Record) []Record {
	c.mu.Lock()
	got := c.queue
	if len(got) > batchMost {
		got = got[:batchMost]
		c.queue = c.queue[batchMost:]
	} else {
		c.queue = nil
	}
	var size int64
	for i, m := range got {
		c.acks.Take(m.Offset)
		size += heldSize(m)
		if size >= chunk || i == len(got)-1 {
			c.pieces = append(c.pieces, piece{m.Offset + 1, size, -1, nil})
			c.queued -= size
			c.open += size
			size = 0
		}
	}
	c.mu.Unlock()
	headers := 0
	for _, m := range got {
		headers += len(m.Headers)
	}
	all := make([]Header, 0, headers)
	for i, m := range got {
		from := len(all)
		for _, h := range m.Headers {
			all = append(all, Header(*h))
		}
		dst = append(dst, Record{Key: m.Key, Value: m.Value, Headers: all[from:len(all):len(all)], Time: m.Timestamp, Offset: m.Offset})
		got[i] = nil
	}
	return dst
}

// look publishes the mark and the lag.
func (c *Claim) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.publish()
	c.lag.Set(float64(c.behind()))
}

// behind is the lag. The caller holds mu.
func (c *Claim) behind() int64 {
	return max(0, c.top()-max(c.acks.Mark(), c.start))
}

// survey asks for the ends of the log if the claim stands still: sarama learns of
// them only when it fetches.
func (c *Claim) survey() {
	c.mu.Lock()
	mark := c.acks.Mark()
	still := mark == c.marked && !c.over
	c.marked = mark
	c.mu.Unlock()
	if !still {
		return
	}
	client := c.g.clientNow()
	oldest, err := client.GetOffset(c.topic, c.partition, sarama.OffsetOldest)
	if err != nil {
		return // its errors come through Consume as well
	}
	newest, err := client.GetOffset(c.topic, c.partition, sarama.OffsetNewest)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.start, c.newest = oldest, newest
	c.mu.Unlock()
}
