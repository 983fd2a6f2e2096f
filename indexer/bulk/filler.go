package bulk

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/internal/metrics"
)

// Chunk is what a partition's goroutine has made and not yet handed over: it has its own,
// so that documents are made without a lock. End of its items is an index in its Buf.
type Chunk struct {
	Buf   []byte
	Items []Item
}

// ChunkBytes is how large a chunk is to become before it is handed over.
const ChunkBytes = 64 << 10

// Reset empties the chunk and lets go of the records.
func (ch *Chunk) Reset() {
	clear(ch.Items)
	ch.Buf, ch.Items = ch.Buf[:0], ch.Items[:0]
}

// Options bound what a Filler holds.
type Options struct {
	Bulks  int           // permits: so many are being filled, sent, or wait to be sent again
	Bytes  int           // of a body; one larger document is a body of its own
	Count  int           // documents of a body
	Linger time.Duration // from the first document of a body until it is sent, full or not

	Read     metrics.Counter // events taken
	InFlight metrics.Gauge   // events taken and not finished
}

// Filler fills bulks one at a time and gives each to be sent, many at a time. Memory:
// Options.Bulks bodies of Options.Bytes, and what they are compressed to. All methods are
// safe for concurrent use.
type Filler struct {
	o     Options
	bytes atomic.Int64 // what a body is filled to: less than o.Bytes once one was too large
	send  func(*Bulk)
	sends sync.WaitGroup
	free  chan *Bulk // permits: who has a bulk may fill or send it

	mu    sync.Mutex
	cur   *Bulk       // being filled; guarded by mu
	timer *time.Timer // of cur's linger; guarded by mu
	fills uint64      // bulks that were begun; guarded by mu
}

// NewFiller makes a filler. send is called in a goroutine of its own with a bulk that is
// ready, and ends with Free.
func NewFiller(o Options, send func(*Bulk)) *Filler {
	f := &Filler{o: o, send: send, free: make(chan *Bulk, o.Bulks)}
	f.bytes.Store(int64(o.Bytes))
	for range o.Bulks {
		f.free <- new(Bulk)
	}
	return f
}

// Add hands a chunk of a partition over, waiting for room. It takes the items in order;
// when ctx ends the rest is not taken.
func (f *Filler) Add(ctx context.Context, p *Partition, ch *Chunk) error {
	for from, done := 0, 0; done < len(ch.Items); {
		b, err := f.filling(ctx)
		if err != nil {
			return err
		}
		// f.mu is held
		base, n := len(b.Buf), 0
		most := f.Bytes()
		for done+n < len(ch.Items) && len(b.Items)+n < f.o.Count {
			if size := base + ch.Items[done+n].End - from; size > most && len(b.Items)+n > 0 {
				break
			}
			n++
		}
		if n > 0 {
			to := ch.Items[done+n-1].End
			b.Buf = append(b.Buf, ch.Buf[from:to]...)
			for _, it := range ch.Items[done : done+n] {
				it.End += base - from
				b.Items = append(b.Items, it)
			}
			p.open.Add(int64(n))
			f.o.Read.Add(float64(n))
			f.o.InFlight.Add(float64(n))
			from, done = to, done+n
		}
		if n == 0 || len(b.Items) == f.o.Count || len(b.Buf) >= most {
			f.launch()
		}
		f.mu.Unlock()
	}
	return nil
}

// filling returns the bulk that is being filled, with the lock held, waiting for a
// permit if need be.
func (f *Filler) filling(ctx context.Context) (*Bulk, error) {
	for {
		f.mu.Lock()
		if f.cur != nil {
			return f.cur, nil
		}
		f.mu.Unlock()
		select {
		case b := <-f.free:
			f.mu.Lock()
			if f.cur != nil { // another was faster
				f.mu.Unlock()
				f.free <- b
				continue
			}
			f.fills++
			fill := f.fills
			f.timer = time.AfterFunc(f.o.Linger, func() { f.flush(fill) })
			f.cur = b
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// launch sends the bulk that is being filled; the lock is held.
func (f *Filler) launch() {
	b := f.cur
	f.cur = nil
	f.timer.Stop()
	f.sends.Go(func() { f.send(b) })
}

// Flush sends the bulk that is being filled, if it holds anything.
func (f *Filler) Flush() { f.flush(0) }

// flush sends the bulk that is being filled, if it is the one of that number; 0: any.
func (f *Filler) flush(fill uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cur != nil && len(f.cur.Items) > 0 && (fill == 0 || fill == f.fills) {
		f.launch()
	}
}

// Free gives a bulk back, to be filled again; what it holds is forgotten.
func (f *Filler) Free(b *Bulk) {
	b.reset(f.o.Bytes)
	f.free <- b
}

// Bytes is what a body is filled to.
func (f *Filler) Bytes() int { return int(f.bytes.Load()) }

// leastBytes is what a body is filled to at least, however little was too large.
const leastBytes = 64 << 10

// Shrink makes the bodies to come no larger, and reports the size and whether that is
// less than before.
func (f *Filler) Shrink(size int) (int, bool) {
	size = max(size, leastBytes)
	old := f.bytes.Load()
	return size, int64(size) < old && f.bytes.CompareAndSwap(old, int64(size))
}

// State is how many permits are free and whether a bulk is being filled.
func (f *Filler) State() (free int, filling bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.free), f.cur != nil
}

// Wait returns when nothing is being sent.
func (f *Filler) Wait() { f.sends.Wait() }
