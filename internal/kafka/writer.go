package kafka

import (
	"context"
	"time"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// RenderHeaders makes the headers of many records once, for Writer.Commit.
func RenderHeaders(headers []Header) []byte { return wire.AppendHeaders(nil, headers) }

// Writer writes runs of records to the partitions of a topic, straight into the batches
// that are being filled: no record is anywhere else before, and none costs a lock.
//
//	w, err := p.Write(ctx, topic, about)          waits for room in the buffer
//	  b := w.Begin(partition, key, at, expect)    again and again:
//	  b = appendValue(b)                          the value goes where the batch is
//	  w.Commit(b, headers, tag)
//	  w.Flush()                                   what was written may be sent from now on
//	w.Close()                                     flushes, and gives back the room that is left
//
// Nothing is sent before Flush, so the caller may note down what is under way meanwhile.
// Until then the partitions that were written to are the writer's: what their batches held
// before waits, and so does everybody else who wants to append to them. So nothing slow
// belongs between, no Append to one of them, and no second Writer by the same goroutine;
// two Writers that each have several of the same partitions may wait for each other for
// ever. A Writer is for one goroutine at a time.
type Writer struct {
	p     *Producer
	topic string

	runs    []run // of the partitions that it has
	last    int   // of runs: where the last record was begun
	key     int   // bytes of the key of the record that was begun
	records int64 // written since the last Flush
	used    int64 // by those
	taken   int64 // from the budget; less than used if more was written than there was room for
}

// run is what a Writer writes to one partition.
type run struct {
	part   *partition
	b      *batch   // being filled; nil: none
	closed []*batch // that are full
	fresh  bool     // b was begun in this run
	limit  int64    // of a batch's bytes
	size   int      // records of the partition's last batch
	bytes  int      // of those
}

// Write has room in the buffer for about so many bytes of records with their keys,
// headers and an overhead of 64 bytes each, before it returns the Writer for them. It
// waits while the buffer is full, unless ctx has ended; those who wait are served in their
// order. Should more be written, the buffer is exceeded by the rest.
func (p *Producer) Write(ctx context.Context, topic string, about int) (*Writer, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	if err := p.budget.take(ctx, p.dialer.ctx.Done(), int64(about), p.full); err != nil {
		return nil, err
	}
	return &Writer{p: p, topic: topic, taken: int64(about)}, nil
}

// Left is how many bytes there is room for; below 0 more was written.
func (w *Writer) Left() int { return int(w.taken - w.used) }

// Begin starts a record that was made at a time, for a partition that the topic has. Its
// value is to be appended to what Begin returns, which has room for the expected bytes;
// what the slice holds is not to be touched. Begin again instead of Commit forgets it. A
// zero time means now.
func (w *Writer) Begin(partition int32, key []byte, at time.Time, expect int) []byte {
	if w.last >= len(w.runs) || w.runs[w.last].part.num != partition {
		w.turn(partition)
	}
	r := &w.runs[w.last]
	need := len(key) + expect + wireOverhead
	if b := r.b; b != nil && (b.bytes+int64(need) > r.limit || b.bytes >= r.limit || len(b.tags) >= stretch*w.p.opts.BatchRecords) {
		r.closed, r.b, r.bytes = append(r.closed, b), nil, int(b.bytes)
	}
	if r.b == nil {
		r.b = newBatch(r.part, r.size, max(need, r.bytes))
		r.b.opened, r.b.generation = time.Now(), w.p.generation.Load()
		r.fresh = true
	}
	w.key = len(key)
	ms := at.UnixMilli()
	if ms <= 0 {
		ms = time.Now().UnixMilli()
	}
	return r.b.records.Begin(ms, key, expect)
}

// turn goes to another partition, which becomes the writer's.
func (w *Writer) turn(partition int32) {
	for i := range w.runs {
		if w.runs[i].part.num == partition {
			w.last = i
			return
		}
	}
	part := w.p.partition(w.topic, partition)
	part.mu.Lock()
	defer part.mu.Unlock()
	part.wait()
	r := run{part: part, b: part.cur, limit: part.limit, size: part.size, bytes: part.bytes}
	part.cur, part.writing = nil, true
	if !part.told {
		r.limit = min(r.limit, int64(w.p.opts.BatchBytes))
	}
	w.last, w.runs = len(w.runs), append(w.runs, r)
}

// Commit ends the record: b is what Begin returned and the value after it, headers are
// from RenderHeaders (nil: none).
func (w *Writer) Commit(b, headers []byte, tag Tag) {
	into := w.runs[w.last].b
	before := into.records.Size()
	value := into.records.Commit(b, headers)
	held := int64(into.records.Size()-before) + heldOverhead
	into.note(tag, Size{int32(w.key), int32(value)}, held)
	w.used += held
	w.records++
}

// Flush ends the runs, so that what was written may be sent. It does not wait.
func (w *Writer) Flush() {
	p := w.p
	if more := w.used - max(w.taken, 0); more > 0 {
		p.budget.used.Add(more)
	}
	p.held.Add(w.used)
	p.pending.Add(w.records)
	w.taken, w.used, w.records = max(w.taken-w.used, 0), 0, 0
	for i := range w.runs {
		w.runs[i].end(p)
	}
	if p.closed.Load() { // since; whoever swaps last gives back what came in between
		p.budget.give(p.held.Swap(0))
	}
	clear(w.runs)
	w.runs, w.last = w.runs[:0], 0
}

// Close flushes and gives back the room that is left.
func (w *Writer) Close() {
	w.Flush()
	p := w.p
	p.budget.give(w.taken)
	w.taken = 0
}

// end gives the partition back with what was written.
func (r *run) end(p *Producer) {
	part := r.part
	if r.b != nil && len(r.b.tags) == 0 { // begun, but no record came
		r.b.recycle()
		r.b = nil
	}
	part.mu.Lock()
	if p.closed.Load() {
		part.release()
		part.mu.Unlock()
		return
	}
	for _, b := range r.closed {
		part.put(p, b)
		part.due = false // it was the first of them that was
	}
	b, lingers := r.b, false
	switch {
	case b == nil:
	case part.missed || p.linger.Load() > 0 || part.due && !part.told: // the sender came for it in vain, or all goes now
		part.due = false
		part.put(p, b)
	default:
		part.cur = b
		part.filled(p)
		lingers = part.cur == b && r.fresh
	}
	part.release()
	part.mu.Unlock()
	if lingers {
		p.sender.inbox.open(opening{part, b.opened})
	}
}
