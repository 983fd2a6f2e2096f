package aggregator

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// flow is the relaying of one claim.
type flow struct {
	claim                                                 *kafka.Claim
	source                                                *source
	in, out, outBytes, dead, returned, opened, unlabelled metrics.Counter
	heldEvents                                            metrics.Gauge
	seconds                                               metrics.Histogram
	notes                                                 *notes // of the partition

	// Owned by the claim's calls.
	routes  map[string]route // by dc; emptied at each call, since partitions may have been added
	senders senders
	mean    int // bytes of a batch of the source, of late

	mu      sync.Mutex
	changed sync.Cond // of the counts below
	pending int       // records taken and neither stored (committed, with lanes), dead nor given back
	letters int       // of these, on their way to the dead-letter topic
	held    int       // of these, refused by it
	gone    bool      // the claim has ended

	// With lanes, of the open transaction.
	next   int64     // offset before which all was appended or is a dead letter
	buried int       // of pending, those that are dead letters
	bytes  int64     // of pending
	first  time.Time // of the first of pending
	why    error     // the transaction cannot be committed

	warned atomic.Bool // of its first dead letter
}

// notes is what is known of a partition's records beyond a claim.
type notes struct {
	mu       sync.Mutex
	refused  map[int64]*refusal // by offset; guarded by mu
	suspects map[int64]bool     // first offsets of batches that are to be opened; guarded by mu
}

// Takes is part of kafka.BatchHandler: what is relayed unopened. A batch is opened if the target's
// topic depends on its records, if they may lack the dc header, or if it is one of many small
// ones, which had better be joined.
func (s *source) Takes(c *kafka.Claim, w *kafka.Stored) bool {
	f := s.flow(c)
	least := int(s.relay.cfg.Aggregator.JoinBelow)
	if f.mean == 0 {
		f.mean = len(w.Bytes)
	}
	f.mean += (len(w.Bytes) - f.mean) / 16
	if s.byDC || len(w.Bytes) < least && f.mean < least || f.notes.touches(w) {
		return false
	}
	open, missed := f.senders.label(w, int(s.relay.cfg.Aggregator.Consume.RecordLimit))
	if missed > 0 {
		f.unlabelled.Add(float64(missed))
		s.log.Warn("a producer that set the dc header does not any more: it is added to its records from here on", "kafka", s.cfg.Kafka,
			"topic", c.Topic(), "partition", c.Partition(), "offset", w.BaseOffset, "producer_id", w.ProducerID)
	}
	return !open
}

// Whole is part of kafka.BatchHandler.
func (s *source) Stored(ctx context.Context, c *kafka.Claim, w *kafka.Stored) {
	f := s.flow(c)
	clear(f.routes)
	to, ok := f.prepare(ctx, nil)
	if !ok {
		return
	}
	n := int(w.Count)
	_, _ = f.put(ctx, n, time.UnixMilli(w.FirstTime), func(p *kafka.Producer) (int, int64, error) {
		if err := p.AppendStored(ctx, to.topic, c.Partition()%to.partitions, w, kafka.Tag{Owner: f, Pos: w.BaseOffset}); err != nil {
			return 0, 0, err
		}
		return n, w.LastOffset() + 1, nil
	})
}

// Views is part of kafka.ViewHandler. It blocks while the partition has its share of the
// producer's buffer, and while a record of it waits to become a dead letter.
func (s *source) Views(ctx context.Context, c *kafka.Claim, records []kafka.View) {
	f := s.flow(c)
	clear(f.routes)
	for len(records) > 0 {
		n, dc := s.run(records)
		to, ok := f.prepare(ctx, dc)
		if !ok {
			return
		}
		if r := f.notes.at(records[0].Offset); r != nil {
			if !f.skip(ctx, r, records[0].Offset) {
				return
			}
			records = records[1:]
			continue
		}
		n = f.notes.before(records[:n])
		views := kafka.Views{Records: records[:n], Owner: f, Extra: s.label}
		taken, err := f.put(ctx, n, time.UnixMilli(records[0].Time), func(p *kafka.Producer) (int, int64, error) {
			taken, err := p.AppendViews(ctx, to.topic, c.Partition()%to.partitions, &views)
			if taken == 0 {
				return 0, 0, err
			}
			return taken, views.Records[taken-1].Offset + 1, err
		})
		f.opened.Add(float64(taken))
		if err != nil {
			return // the rest is not taken
		}
		records = records[n:]
	}
}

// prepare waits until the partition may have more under way and its target is known.
func (f *flow) prepare(ctx context.Context, dc []byte) (to route, ok bool) {
	s := f.source
	roomy := func() bool {
		return f.letters == 0 && (f.pending == 0 || f.claim.Open() <= s.share())
	}
	f.mu.Lock()
	now := roomy()
	f.mu.Unlock()
	if !now {
		if s.lanes != nil {
			s.lanes.Press(f.claim)
		}
		if f.wait(ctx, roomy) != nil {
			return to, false
		}
	}
	to, err := f.route(ctx, s.out, dc)
	return to, err == nil
}

// put takes up to n records and appends them; do says how many it did and the offset after
// them. It returns how many were.
func (f *flow) put(ctx context.Context, n int, first time.Time, do func(*kafka.Producer) (int, int64, error)) (taken int, err error) {
	if lanes := f.source.lanes; lanes != nil {
		err = lanes.Append(ctx, f.claim, func(p *kafka.Producer) (err error) {
			var next int64
			taken, next, err = do(p)
			f.added(taken, next, first)
			return err
		})
		return taken, err
	}
	f.take(n) // before, since it may be stored at once
	taken, _, err = do(f.source.out)
	if taken < n {
		f.returned.Add(float64(n - taken))
		f.finish(n-taken, 0)
	}
	return taken, err
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

func (f *flow) take(n int) {
	f.in.Add(float64(n))
	f.source.move(n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending += n
}

// added notes records that are in the lane's transaction.
func (f *flow) added(n int, next int64, first time.Time) {
	if n == 0 {
		return
	}
	f.take(n)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first.IsZero() {
		f.first = first
	}
	f.next = next
}

// stored is when the target has so many records, from an offset on, that were sent in a
// batch whose first one has a time.
func (f *flow) stored(n int, bytes int64, first time.Time, from int64) {
	if f.source.lanes != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bytes += bytes
		return
	}
	f.claim.DoneAll(from, from+int64(n))
	f.out.Add(float64(n))
	f.outBytes.Add(float64(bytes))
	f.seconds.Observe(time.Since(first).Seconds())
	f.finish(n, 0)
}

// upto is where the lane's transaction has come to.
func (f *flow) upto() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next, f.why
}

// committed is when the lane's transaction is.
func (f *flow) committed(upto int64) {
	f.claim.DoneAll(0, upto)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.Add(float64(f.pending - f.buried))
	f.dead.Add(float64(f.buried))
	f.outBytes.Add(float64(f.bytes))
	if !f.first.IsZero() {
		f.seconds.Observe(time.Since(f.first).Seconds())
	}
	f.source.move(-f.pending)
	f.pending, f.buried, f.bytes, f.first = 0, 0, 0, time.Time{}
	f.notes.forget(upto)
	f.changed.Broadcast()
}

// finish ends n records, of which some had become letters.
func (f *flow) finish(n, letters int) {
	f.source.move(-n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending -= n
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

// end ends the flow. What is in a transaction that is given up comes again.
func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	if f.source.lanes != nil {
		f.returned.Add(float64(f.pending))
		f.source.move(-f.pending)
		f.pending = 0
	}
}

func (f *flow) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// unopenable is when the target refuses a batch that cannot be unpacked to find out why:
// the partition begins anew, and whoever reads the batch finds what is wrong with it.
func (f *flow) unopenable(offset int64, res *kafka.Result) {
	f.notes.mu.Lock()
	f.notes.suspects[offset] = true
	f.notes.mu.Unlock()
	err := fmt.Errorf("offset %d: %w", offset, res.Err)
	if f.source.lanes != nil {
		f.spoil(err)
		return
	}
	f.returned.Add(float64(res.Count))
	f.finish(res.Count, 0)
	f.claim.Restart(err)
}

// spoil has the lane's transaction given up.
func (f *flow) spoil(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = err
}

// touches says whether a batch has to be opened for what is known of it.
func (n *notes) touches(w *kafka.Stored) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.suspects[w.BaseOffset] {
		return true
	}
	for o := range n.refused {
		if o >= w.BaseOffset && o <= w.LastOffset() {
			return true
		}
	}
	return false
}

// at is the refusal of the record at an offset; nil: it was not refused.
func (n *notes) at(offset int64) *refusal {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused[offset]
}

// before is how many of the records come before one that was refused.
func (n *notes) before(records []kafka.View) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.refused) > 0 {
		for i := range records {
			if n.refused[records[i].Offset] != nil {
				return i
			}
		}
	}
	return len(records)
}

// forget drops what was known of records below an offset.
func (n *notes) forget(below int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for o := range n.refused {
		if o < below {
			delete(n.refused, o)
		}
	}
	for o := range n.suspects {
		if o < below {
			delete(n.suspects, o)
		}
	}
}
