package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// AppendStored adds a batch that was read unopened to the end of a partition, after all that
// was appended before. It is sent as it is, under another sender's name, which is written
// into its header; it is opened only if the broker refuses it, to find the record that is to
// blame. Its bytes must stay as they are until its callback, or until the producer is closed
// and its requests have ended. tag.Pos is the position of its first record.
func (p *Producer) AppendStored(ctx context.Context, topic string, partition int32, w *Stored, tag Tag) error {
	if partition < 0 || partition > 1<<20 {
		return fmt.Errorf("append to %s/%d: no such partition", topic, partition)
	}
	if err := p.open(); err != nil {
		return err
	}
	part := p.partition(topic, partition)
	held := int64(len(w.Bytes) + heldOverhead)
	if err := p.hold(ctx, held); err != nil {
		return err
	}
	p.pending.Add(int64(w.Count))
	b := slab(0)
	b.p, b.whole, b.ready = part, int(w.Count), true
	b.packed = wire.Received(w.Bytes, p.txn != nil)
	b.tags = append(b.tags, tag)
	b.bytes, b.first, b.held, b.opened = int64(len(w.Bytes)), time.UnixMilli(w.FirstTime), held, time.Now()
	part.mu.Lock()
	part.wait()
	if part.cur != nil {
		part.seal(p)
	}
	b.generation = p.generation.Load()
	part.full = append(part.full, b)
	part.told = true
	first := len(part.full) == 1
	part.mu.Unlock()
	if first {
		p.sender.inbox.ready(part)
	}
	return nil
}

// Views are records as they were read, to be appended one after the other.
type Views struct {
	Records []View
	Owner   any  // of their tags; a record's position is its offset
	Extra   Pair // a header that is added to those that have none with its key; no key: none is
}

// Pair is a header as it is added to records.
type Pair = wire.Pair

// viewsMostHeld is how many bytes AppendViews takes of the budget at once.
const viewsMostHeld = 64 << 10

// AppendViews is Append for records that are views, with less work for each. It returns how
// many it took: all, unless there is an error.
func (p *Producer) AppendViews(ctx context.Context, topic string, partition int32, v *Views) (taken int, err error) {
	if partition < 0 || partition > 1<<20 {
		return 0, fmt.Errorf("append to %s/%d: no such partition", topic, partition)
	}
	if err := p.open(); err != nil {
		return 0, err
	}
	part := p.partition(topic, partition)
	for taken < len(v.Records) {
		n, size := 0, int64(0)
		for n < len(v.Records)-taken && size < viewsMostHeld {
			size += v.size(&v.Records[taken+n]) + heldOverhead
			n++
		}
		if err := p.hold(ctx, size); err != nil {
			return taken, err
		}
		p.pending.Add(int64(n))
		p.addViews(part, v, v.Records[taken:taken+n])
		taken += n
	}
	return taken, nil
}

// hold takes bytes of the budget for records that are about to be added.
func (p *Producer) hold(ctx context.Context, n int64) error {
	if err := p.budget.take(ctx, p.dialer.ctx.Done(), n, p.full); err != nil {
		return err
	}
	p.held.Add(n)
	if p.closed.Load() { // since; whoever swaps last gives back what came in between
		p.budget.give(p.held.Swap(0))
		return ErrClosed
	}
	return nil
}

// size is about what a record takes in a batch.
func (v *Views) size(r *View) int64 {
	return int64(len(r.Key)+len(r.Value)+len(r.Headers)+len(v.Extra.Key)+len(v.Extra.Value)) + wireOverhead
}

// addViews adds records for which the budget was taken.
func (p *Producer) addViews(part *partition, v *Views, records []View) {
	part.mu.Lock()
	part.wait()
	var lingers bool
	for i := range records {
		r := &records[i]
		size := v.size(r)
		opened := part.room(p, size)
		b := part.cur
		ms := r.Time
		if ms <= 0 { // no time of its own
			ms = time.Now().UnixMilli()
		}
		headers := r.Headers
		if len(v.Extra.Key) > 0 && !headers.Has(string(v.Extra.Key)) {
			b.scratch = headers.AppendTo(b.scratch[:0], v.Extra)
			headers = b.scratch
		}
		b.records.AppendRaw(ms, r.Key, r.Value, headers)
		b.note(Tag{v.Owner, r.Offset}, Size{int32(len(r.Key)), int32(len(r.Value))}, size+heldOverhead)
		part.filled(p)
		lingers = part.cur == b && (opened || lingers)
	}
	since := time.Time{}
	if part.cur != nil {
		since = part.cur.opened
	}
	part.mu.Unlock()
	if lingers {
		p.sender.inbox.open(opening{part, since})
	}
}
