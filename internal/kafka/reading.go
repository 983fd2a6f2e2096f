package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/retry"
)

const (
	viewsMost = 1024      // records of one call
	viewsFull = 512 << 10 // unpacked bytes after which no other batch is put into a call
	readTries = 3         // times that a batch which cannot be read is fetched, before it is held to be so
	poisonAsk = time.Minute
)

// fetched is what the fetcher brings: batches of one answer, in memory that is shared
// with other claims.
type fetched struct {
	wire.Set
	from        int64 // offset that was asked for
	block       *wire.Block
	high, start int64 // of the log
}

// wire decides whether we fetch a partition ourselves; then sarama is to fetch nothing.
func (g *Group) wire(at place) {
	able := g.fetch.able(at)
	g.mu.Lock()
	g.direct[at] = able
	g.mu.Unlock()
	if !able { // sarama remembers a pause
		g.consumer().Resume(map[string][]int32{at.topic: {at.partition}})
	}
}

func (g *Group) wired(at place) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.direct[at]
}

// push queues what was fetched; it never waits. Of an answer that many claims share each
// would hold all: one that does not keep up takes its part out.
func (c *Claim) push(f fetched) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start, c.newest = f.start, f.high
	if c.over || len(f.Batches) == 0 {
		return
	}
	if part := f.block.Size() / len(f.Batches); part >= 2 && len(c.sets) > 0 || part >= 4 && c.g.batches != nil {
		own := wire.NewBlock(len(f.Batches))
		copy(own.Bytes(len(f.Batches)), f.Batches)
		f.block, f.Batches = own, own.Bytes(len(f.Batches))
	} else {
		f.block.Hold()
	}
	c.sets = append(c.sets, f)
	c.queued += int64(len(f.Batches))
	c.hold(int64(len(f.Batches)))
	c.throttle()
	c.wake.Raise()
}

// errCrowded is when there is no room for a large record, since other large ones have it.
var errCrowded = errors.New("no room for a large record")

// big bounds what is taken at once for a single record or a codec's window. Who has some
// already waits for more only for a while: two of them would wait for each other.
func (c *Claim) big(n int) error {
	if n < 0 {
		c.g.large.give(int64(-n))
		c.heavy.Add(int64(n))
		return nil
	}
	ctx := c.taking
	if c.heavy.Load() > 0 {
		late, cancel := context.WithTimeout(ctx, c.g.waits.backoff.Longest/2)
		defer cancel()
		ctx = late
	}
	if err := c.g.large.take(ctx, nil, int64(n), nil); err != nil {
		return errCrowded
	}
	c.heavy.Add(int64(n))
	return nil
}

// read unpacks what was fetched, a block at a time and only while the claim holds no
// more than its share, and hands it to the handler.
//
//	sets (packed, bounded by pausing the fetch) -> reader -> views of blocks -> handler -> Done -> block is used again
func (c *Claim) read() {
	r := &reading{c: c, next: c.from}
	defer r.close()
	for {
		select {
		case <-c.wake:
		case <-c.taking.Done():
			return
		}
		for c.taking.Err() == nil && c.roomy() {
			if !r.more() {
				break
			}
		}
		if c.taking.Err() == nil && r.set.block == nil && c.idle() {
			select {
			case err := <-c.final:
				c.restart(err)
				return
			default:
			}
		}
	}
}

// roomy says whether more may be unpacked.
func (c *Claim) roomy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open <= c.g.share.Load()
}

// idle says whether all that was fetched was handed out.
func (c *Claim) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sets) == 0
}

// reading is the state of read.
type reading struct {
	c       *Claim
	set     fetched // that is being read
	next    int64
	views   []View
	records []Record
	judged  bool  // a BatchHandler was asked about the next batch
	takes   bool  // and takes it
	tries   int   // that the batch at offset tried could not be read
	tried   int64 // offset
}

func (r *reading) close() {
	r.c.reader.Begin(wire.Set{}, 0)
	if r.set.block != nil {
		r.set.block.Free()
	}
}

// more hands one block's records to the handler; false: there are none now.
func (r *reading) more() bool {
	c := r.c
	if r.views == nil {
		r.views = make([]View, 0, viewsMost)
	}
	views := r.views[:0]
	var pieces []piece
	var bytes int64
	var err error
	for len(views) < cap(views) && bytes < viewsFull {
		if r.set.block == nil && !r.open() {
			break
		}
		if c.g.batches != nil && !c.reader.Opened() {
			var some bool
			if some, err = r.judge(); err != nil {
				break
			}
			if !some {
				r.shut()
				continue
			}
			if r.takes && len(views) > 0 {
				break // in its turn
			}
			if r.takes {
				r.stored()
				return true
			}
		}
		r.judged = false
		var p wire.Piece
		if p, views, err = c.reader.Read(views); err != nil {
			break
		}
		if p.Block == nil {
			r.shut()
			continue
		}
		bytes += int64(p.Bytes)
		pieces = append(pieces, piece{views[len(views)-1].Offset + 1, int64(p.Bytes), c.reader.Epoch(), p.Block})
	}
	if len(views) > 0 {
		r.hand(views, pieces)
		return true
	}
	if err != nil {
		return r.unreadable(err)
	}
	c.skip(r.next, c.reader.Epoch())
	return false
}

// judge asks a BatchHandler about the next batch; false: there is none in the set.
func (r *reading) judge() (bool, error) {
	batch, h, err := r.c.reader.Ahead()
	if batch == nil || err != nil {
		return false, err
	}
	if !r.judged {
		whole := h.BaseOffset >= r.c.reader.Next() && int64(h.Count) == h.LastOffset()-h.BaseOffset+1
		r.judged, r.takes = true, whole && r.c.g.batches.Takes(r.c, &Stored{h, batch})
	}
	return true, nil
}

// stored gives the next batch to a BatchHandler that takes it.
func (r *reading) stored() {
	c := r.c
	batch, h, _ := c.reader.Whole() // judge had it
	r.judged, r.next = false, c.reader.Next()
	bytes := int64(len(batch))
	r.set.block.Hold()
	c.mu.Lock()
	for o := h.BaseOffset; o <= h.LastOffset(); o++ {
		c.acks.Take(o)
	}
	c.pieces = append(c.pieces, piece{r.next, bytes, h.LeaderEpoch, r.set.block})
	c.open += bytes
	c.hold(bytes)
	c.mu.Unlock()
	c.records.Add(float64(h.Count))
	c.bytes.Add(float64(bytes))
	c.g.batches.Stored(c.taking, c, &Stored{h, batch})
}

// open begins with the next set.
func (r *reading) open() bool {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	hole := false
	for len(c.sets) > 0 {
		r.set = c.sets[0]
		c.sets[0] = fetched{}
		c.sets = c.sets[1:]
		if r.set.from > r.next { // an answer to what was asked before a reset
			r.shutLocked()
			hole = true
			continue
		}
		c.reader.Begin(r.set.Set, r.next)
		return true
	}
	if hole {
		c.g.fetch.reset(c.stream, r.next, 0)
	}
	return false
}

// shut is done with a set.
func (r *reading) shut() {
	r.next = max(r.next, r.c.reader.Next())
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.shutLocked()
}

func (r *reading) shutLocked() {
	if n := int64(len(r.set.Batches)); !r.c.over {
		r.c.queued -= n
		r.c.hold(-n)
	}
	r.set.block.Free()
	r.set = fetched{}
	r.c.throttle()
}

// hand gives records to the handler.
func (r *reading) hand(views []View, pieces []piece) {
	c := r.c
	keep := c.g.views == nil
	var bytes int64
	for i := range pieces {
		if keep { // what it is given is garbage collected
			pieces[i].block.Keep()
		}
		bytes += pieces[i].bytes
	}
	c.bytes.Add(float64(bytes))
	if keep {
		more := int64(len(views)) * recordOverhead
		for i := range views {
			more += int64(views[i].Headers.Len()) * pairOverhead
		}
		pieces[len(pieces)-1].bytes += more
		bytes += more
	}
	r.next = c.reader.Next()
	c.mu.Lock()
	for i := range views {
		c.acks.Take(views[i].Offset)
	}
	c.pieces = append(c.pieces, pieces...)
	c.open += bytes
	c.hold(bytes)
	c.mu.Unlock()
	c.records.Add(float64(len(views)))
	if !keep {
		c.g.views.Views(c.taking, c, views)
		return
	}
	r.records = recordsOf(r.records[:0], views)
	c.g.records.Batch(c.taking, c, r.records)
	clear(r.records)
}

// skip notes that nothing comes below an offset, and of which epoch the batch before it
// is.
func (c *Claim) skip(next int64, epoch int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || next <= c.acks.Next() {
		return
	}
	c.acks.Skip(next)
	if c.acks.Mark() == next {
		c.origin.epoch = epoch
	} else {
		c.pieces = append(c.pieces, piece{end: next, epoch: epoch})
	}
}

// unreadable deals with a batch that cannot be read; it returns when reading may go on.
func (r *reading) unreadable(err error) bool {
	c := r.c
	if c.taking.Err() != nil {
		return false
	}
	if errors.Is(err, wire.ErrOldFormat) {
		c.restart(err)
		<-c.taking.Done()
		return false
	}
	next := c.reader.Next()
	if errors.Is(err, errCrowded) { // what it has goes to others
		r.again(next, c.g.waits.backoff.Pause(3))
		return true
	}
	if r.tried != next {
		r.tried, r.tries = next, 0
	}
	if r.tries++; r.tries < readTries { // a cable may be to blame
		c.g.report(fmt.Errorf("read %s/%d: %w", c.topic, c.partition, err))
		r.again(next, c.g.waits.backoff.Pause(r.tries))
		return true
	}
	batch, from, to := c.reader.Batch()
	reg, cluster, group := c.g.cluster.registry(), c.g.cluster.Name, c.g.opts.Group
	log := c.g.log.With("topic", c.topic, "partition", c.partition, "offset", from, "last_offset", to)
	if c.g.opts.Poison == "dead_letter" && c.g.opts.Poisoned != nil && !errors.Is(err, wire.ErrFraming) {
		p := Poison{Topic: c.topic, Partition: c.partition, From: max(from, next), To: to, Bytes: batch, Err: err}
		if kept := c.g.opts.Poisoned(c.taking, p); kept == nil {
			reg.Counter(poisonBatches, cluster, group, c.topic, "dead_letter").Inc()
			log.Error("a batch cannot be read, its bytes are in the dead letters", "error", err)
			c.reader.Skip()
			c.skip(c.reader.Next(), c.reader.Epoch())
			c.g.unread.tell(place{c.topic, c.partition}, nil)
			return true
		} else if c.taking.Err() == nil {
			log.Error("a batch that cannot be read cannot be kept in the dead letters", "error", kept)
		}
	}
	if r.tries == readTries {
		reg.Counter(poisonBatches, cluster, group, c.topic, "stop").Inc()
		log.Error("a batch cannot be read, the partition waits there: repair it, or set consume.poison to dead_letter", "error", err)
	}
	for end := time.Now().Add(poisonAsk); time.Now().Before(end); {
		c.g.unread.tell(place{c.topic, c.partition}, err)
		if retry.Wait(c.taking, unasked/3) != nil {
			return false
		}
	}
	r.again(next, 0)
	return true
}

// again drops what was fetched and fetches it anew.
func (r *reading) again(next int64, pause time.Duration) {
	c := r.c
	c.reader.Begin(wire.Set{}, next)
	r.next, r.judged = next, false
	c.g.fetch.reset(c.stream, next, pause)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.shutLocked()
	for _, s := range c.sets { // none if the claim is over
		c.queued -= int64(len(s.Batches))
		c.hold(-int64(len(s.Batches)))
		s.block.Free()
	}
	c.sets = nil
	c.throttle()
}

// RecordOf makes a record of a view, in the memory of the view. Its headers are appended
// to dst, which may be nil.
func RecordOf(v *View, dst []Header) Record {
	from := len(dst)
	for h := v.Headers.First(); ; {
		key, value, ok := h.Next()
		if !ok {
			break
		}
		dst = append(dst, Header{Key: key, Value: value})
	}
	return Record{Key: v.Key, Value: v.Value, Headers: dst[from:len(dst):len(dst)], Time: time.UnixMilli(v.Time), Offset: v.Offset, Appended: v.Appended}
}

// recordsOf makes records of views, whose memory must not be used for others then.
func recordsOf(dst []Record, views []View) []Record {
	headers := 0
	for i := range views {
		headers += views[i].Headers.Len()
	}
	all := make([]Header, 0, headers)
	for i := range views {
		r := RecordOf(&views[i], all)
		all = all[:len(all)+len(r.Headers)]
		dst = append(dst, r)
	}
	return dst
}

// viewsOf makes views of records, where sarama fetches.
func viewsOf(records []Record) []View {
	views := make([]View, len(records))
	for i := range records {
		r := &records[i]
		views[i] = View{Offset: r.Offset, Time: r.Time.UnixMilli(), Key: r.Key, Value: r.Value, Headers: wire.AppendHeaders(nil, r.Headers)}
	}
	return views
}
