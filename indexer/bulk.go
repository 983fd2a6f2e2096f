package indexer

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/internal/kafka"
)

// marker is what the indexer needs of a claim; *kafka.Claim is one.
type marker interface {
	Topic() string
	Partition() int32
	DoneAll(from, to int64)
}

// claim is a partition while it is ours.
type claim struct {
	marker
	codec string
	enc   encoder // used by Batch alone

	open atomic.Int64  // records taken and not finished
	idle chan struct{} // cap 1: open came to 0
	over atomic.Bool   // it is another's now: what is refused is not sent again
}

// finish marks records as finished, or gives them up when the claim is over.
func (c *claim) finish(from, to int64, n int64) {
	c.DoneAll(from, to)
	c.drop(n)
}

func (c *claim) drop(n int64) {
	if c.open.Add(-n) == 0 {
		select {
		case c.idle <- struct{}{}:
		default:
		}
	}
}

// item is one document of a bulk and the record it was made of, which is kept for the
// dead letter that may become of it.
type item struct {
	end     int // in the buffer, behind the document's line end; it starts where the item before ends
	claim   *claim
	record  kafka.Record
	verdict verdict
	tries   uint8
}

// bulk is the body of a request: an arena of lines and the table of what they are.
//
//	buf    {"create":...}\n{"@timestamp":...}\n{"create":...}\n{...}\n
//	items                                     ^end of items[0]       ^end of items[1]
//
// It belongs to the target while it is filled, then to the goroutine that sends it.
type bulk struct {
	buf   []byte
	items []item
	fill  uint64      // number of the filling, for the timer
	timer *time.Timer // of the linger

	packed bytes.Buffer // the body compressed
	zip    *gzip.Writer
}

func (b *bulk) from(i int) int {
	if i == 0 {
		return 0
	}
	return b.items[i-1].end
}

// keep makes the bulk hold the items that are to be sent again, alone.
func (b *bulk) keep() {
	size, n, from := 0, 0, 0
	for i := range b.items {
		it := b.items[i]
		if it.verdict != indexed {
			size += copy(b.buf[size:], b.buf[from:it.end])
			from = it.end
			it.end = size
			b.items[n] = it
			n++
			continue
		}
		from = it.end
	}
	clear(b.items[n:]) // lets go of the records
	b.buf, b.items = b.buf[:size], b.items[:n]
}

// reset empties the bulk. An arena that one huge document has blown up is let go.
func (b *bulk) reset(most int) {
	clear(b.items)
	b.buf, b.items = b.buf[:0], b.items[:0]
	if cap(b.buf) > 2*most {
		b.buf = nil
	}
	if b.packed.Cap() > 2*most {
		b.packed = bytes.Buffer{}
	}
}

// chunk is what a partition's goroutine has made and not yet handed over.
type chunk struct {
	buf   []byte
	items []item
}

const chunkBytes = 64 << 10

// add hands a chunk over, waiting for room. It takes the items in order; when ctx ends
// the rest is not taken.
func (t *target) add(ctx context.Context, c *claim, ch *chunk) error {
	for from, done := 0, 0; done < len(ch.items); {
		b, err := t.filling(ctx)
		if err != nil {
			return err
		}
		// t.mu is held
		base, n := len(b.buf), 0
		most := int(t.bytes.Load())
		for done+n < len(ch.items) && len(b.items)+n < t.count {
			if size := base + ch.items[done+n].end - from; size > most && len(b.items)+n > 0 {
				break
			}
			n++
		}
		if n > 0 {
			to := ch.items[done+n-1].end
			b.buf = append(b.buf, ch.buf[from:to]...)
			for _, it := range ch.items[done : done+n] {
				it.end += base - from
				b.items = append(b.items, it)
			}
			c.open.Add(int64(n))
			t.fig.read.Add(float64(n))
			t.fig.inFlight.Add(float64(n))
			from, done = to, done+n
		}
		if n == 0 || len(b.items) == t.count || len(b.buf) >= most {
			t.launch()
		}
		t.mu.Unlock()
	}
	return nil
}

// filling returns the bulk that is being filled, with the lock held, waiting for a
// free one if need be.
func (t *target) filling(ctx context.Context) (*bulk, error) {
	for {
		t.mu.Lock()
		if t.cur != nil {
			return t.cur, nil
		}
		t.mu.Unlock()
		select {
		case b := <-t.free:
			t.mu.Lock()
			if t.cur != nil { // another was faster
				t.mu.Unlock()
				t.free <- b
				continue
			}
			t.fills++
			fill := t.fills
			b.fill = fill
			b.timer = time.AfterFunc(t.linger, func() { t.flushIf(func(b *bulk) bool { return b.fill == fill }) })
			t.cur = b
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// launch sends the bulk that is being filled; the lock is held.
func (t *target) launch() {
	b := t.cur
	t.cur = nil
	b.timer.Stop()
	t.flushes.Go(func() { t.flush(t.ctx, b) })
}

// flushIf sends the bulk that is being filled if it holds anything and is meant.
func (t *target) flushIf(meant func(*bulk) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cur != nil && len(t.cur.items) > 0 && meant(t.cur) {
		t.launch()
	}
}
