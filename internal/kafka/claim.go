package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/ack"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/wake"
)

const (
	batchMost = 4096      // records of one Batch call
	chunk     = 256 << 10 // held bytes are given back in pieces of this size
)

// Claim is one partition while it is ours. Its methods are safe for concurrent use.
//
//	sarama -> feed -> queue (bounded in bytes by pausing the fetch) -> work -> Handler.Batch -> Done -> mark
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

	mu     sync.Mutex
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
		c.hold(-c.pieces[n].bytes)
		c.open -= c.pieces[n].bytes
		n++
	}
	c.pieces = c.pieces[:copy(c.pieces, c.pieces[n:])]
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
		c.g.consumer().Pause(map[string][]int32{c.topic: {c.partition}})
	case c.paused && held <= share/2:
		c.paused = false
		c.g.consumer().Resume(map[string][]int32{c.topic: {c.partition}})
	}
}

// consume runs the claim until it is taken away; it is called by sarama, and when it
// returns the marks are committed.
func (c *Claim) consume() {
	var worker sync.WaitGroup
	worker.Go(c.work)
	c.feed()
	revoked := c.session.Context().Err() == nil || !lost(context.Cause(c.session.Context()))
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
	c.queued, c.open, c.queue, c.pieces = 0, 0, nil, nil
	c.throttle() // sarama would remember the pause for the next claim
	c.mu.Unlock()
	c.end()
}

// publish hands the mark to sarama, which commits it. The caller holds mu.
func (c *Claim) publish() {
	if !c.over {
		c.session.MarkOffset(c.topic, c.partition, c.acks.Mark(), "")
	}
}

// feed takes what was fetched, never waiting for the handler: while it waited, sarama
// would fetch nothing for any partition of the same broker.
func (c *Claim) feed() {
	var got []*sarama.ConsumerMessage
	for {
		select {
		case m, ok := <-c.source.Messages():
			if !ok {
				return
			}
			got = append(got[:0], m)
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
				got = append(got, m)
			default:
				break more
			}
		}
		c.push(got)
		clear(got)
	}
}

func (c *Claim) push(got []*sarama.ConsumerMessage) {
	var bytes int64
	for _, m := range got {
		bytes += heldSize(m)
	}
	c.records.Add(float64(len(got)))
	c.bytes.Add(float64(bytes - int64(len(got))*fetchOverhead))
	c.mu.Lock()
	c.queue = append(c.queue, got...)
	c.queued += bytes
	c.hold(bytes)
	c.throttle()
	c.mu.Unlock()
	c.wake.Raise()
}

// fetchOverhead is what a fetched record costs in memory beside its bytes.
const fetchOverhead = 256

func heldSize(m *sarama.ConsumerMessage) int64 {
	n := len(m.Key) + len(m.Value) + fetchOverhead
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// work hands what is queued to the handler, all of it at once up to a limit.
func (c *Claim) work() {
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
			c.g.handler.Batch(c.taking, c, records)
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
			c.pieces = append(c.pieces, piece{m.Offset + 1, size})
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
	return max(0, max(c.source.HighWaterMarkOffset(), c.newest)-max(c.acks.Mark(), c.start))
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

// begin finds out where the claim starts, and tells of what was deleted before we
// came to read it. Nothing is handed out before.
func (c *Claim) begin() {
	c.from = c.source.InitialOffset()
	if c.from >= 0 {
		c.acks = ack.New(c.from)
		return
	}
	// No offset was committed, or one out of range and sarama starts over.
	var start, committed int64
	var err error
	for try := 1; try <= 3; try++ {
		if start, committed, err = c.g.offsets(c.topic, c.partition); err == nil {
			break
		}
		select {
		case <-c.session.Context().Done():
		case <-time.After(c.g.waits.backoff.Pause(try)):
		}
	}
	if err != nil {
		c.g.log.Warn("cannot tell whether records were missed", "topic", c.topic, "partition", c.partition, "error", err)
		c.from = 0
		c.acks = ack.New(0)
		return
	}
	c.from = start
	c.acks = ack.New(start)
	reg := c.g.cluster.registry()
	switch {
	case committed < 0:
	case committed < start:
		reg.Counter(gapRecords, c.g.cluster.Name, c.g.opts.Group, c.topic).Add(float64(start - committed))
		c.g.log.Error("records were deleted before they were read", "topic", c.topic, "partition", c.partition,
			"committed", committed, "log_start", start, "records", start-committed)
	default:
		reg.Counter(rewinds, c.g.cluster.Name, c.g.opts.Group, c.topic).Inc()
		c.g.log.Error("the partition is shorter than what was committed, reading it from its start", "topic", c.topic, "partition", c.partition,
			"committed", committed, "log_start", start)
		c.session.ResetOffset(c.topic, c.partition, start, "") // sarama's marks only move forward
	}
}
