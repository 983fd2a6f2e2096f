package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// RenderHeaders makes the headers of many records once, for Writer.Commit.
func RenderHeaders(headers []Header) []byte { return wire.AppendHeaders(nil, headers) }

// Writer writes a run of records to one partition, straight into the batch that is
// being filled: no record is anywhere else before, and none costs a lock.
//
//	w, err := p.Write(ctx, topic, partition, about)   waits for room in the buffer
//	  b := w.Begin(key, at, expect)                   again and again:
//	  b = appendValue(b)                              the value goes where the batch is
//	  w.Commit(b, headers, tag)
//	w.Close()                                         what was written may be sent from now on
//
// Nothing of the run is sent before Close, so the caller may note down what is under way
// meanwhile. Until then the partition is the writer's: what its batch held before waits,
// and so does everybody else who wants to append to it. So nothing slow belongs between,
// and no Append or Write to the same partition. A Writer is for one goroutine.
type Writer struct {
	p    *Producer
	part *partition

	b       *batch   // being filled; nil: none
	closed  []*batch // that are full
	fresh   bool     // b was begun in this run
	key     int      // bytes of the key of the record that was begun
	limit   int64    // of a batch's bytes
	size    int      // records of the partition's last batch
	records int64    // written
	taken   int64    // from the budget
	used    int64    // of that, or more
}

// Write begins a run of records that take about so many bytes with their keys and
// headers. It waits while the buffer is full, unless ctx has ended; those who wait are
// served in their order. Should the run become longer, the buffer is exceeded by the rest.
func (p *Producer) Write(ctx context.Context, topic string, partition int32, about int) (*Writer, error) {
	if partition < 0 || partition > 1<<20 {
		return nil, fmt.Errorf("write to %s/%d: no such partition", topic, partition)
	}
	if err := p.open(); err != nil {
		return nil, err
	}
	w := &Writer{p: p, part: p.partition(topic, partition), taken: int64(about)}
	if err := p.budget.take(ctx, p.dialer.ctx.Done(), w.taken, p.full); err != nil {
		return nil, err
	}
	w.part.mu.Lock()
	defer w.part.mu.Unlock()
	w.part.wait()
	w.b, w.part.cur, w.part.writing = w.part.cur, nil, true
	w.limit, w.size = w.part.limit, w.part.size
	if !w.part.told {
		w.limit = min(w.limit, int64(p.opts.BatchBytes))
	}
	return w, nil
}

// Begin starts a record that was made at a time. Its value is to be appended to what
// Begin returns, which has room for the expected bytes; what the slice holds is not to be
// touched. Begin again instead of Commit forgets it. A zero time means now.
func (w *Writer) Begin(key []byte, at time.Time, expect int) []byte {
	if b := w.b; b != nil && (b.bytes+int64(len(key)+expect+wireOverhead) > w.limit || b.bytes >= w.limit || len(b.tags) >= stretch*w.p.opts.BatchRecords) {
		w.closed, w.b = append(w.closed, b), nil
	}
	if w.b == nil {
		w.b = newBatch(w.part, w.size, max(len(key)+expect+wireOverhead, int(min(w.taken-w.used, w.limit))))
		w.b.opened, w.b.generation = time.Now(), w.p.generation.Load()
		w.fresh = true
	}
	w.key = len(key)
	ms := at.UnixMilli()
	if ms <= 0 {
		ms = time.Now().UnixMilli()
	}
	return w.b.records.Begin(ms, key, expect)
}

// Commit ends the record: b is what Begin returned and the value after it, headers are
// from RenderHeaders (nil: none).
func (w *Writer) Commit(b, headers []byte, tag Tag) {
	before := w.b.records.Size()
	value := w.b.records.Commit(b, headers)
	held := int64(w.b.records.Size()-before) + heldOverhead
	w.b.note(tag, Size{int32(w.key), int32(value)}, held)
	w.used += held
	w.records++
}

// Close ends the run. It does not wait.
func (w *Writer) Close() {
	p, part := w.p, w.part
	if w.b != nil && len(w.b.tags) == 0 { // begun, but no record came
		w.b.recycle()
		w.b = nil
	}
	if more := w.used - w.taken; more > 0 {
		p.budget.used.Add(more)
	} else if more < 0 {
		p.budget.give(-more)
	}
	p.held.Add(w.used)
	p.pending.Add(w.records)
	part.mu.Lock()
	if p.closed.Load() { // since; whoever swaps last gives back what came in between
		p.budget.give(p.held.Swap(0))
		part.release()
		part.mu.Unlock()
		return
	}
	for _, b := range w.closed {
		part.put(p, b)
		part.due = false // it was the first of them that was
	}
	b, lingers := w.b, false
	switch {
	case b == nil:
	case part.missed || p.linger.Load() > 0 || part.due && !part.told: // the sender came for it in vain, or all goes now
		part.due = false
		part.put(p, b)
	default:
		part.cur = b
		part.filled(p)
		lingers = part.cur == b && w.fresh
	}
	part.release()
	part.mu.Unlock()
	if lingers {
		p.sender.inbox.open(opening{part, b.opened})
	}
	w.b, w.closed = nil, nil
}
