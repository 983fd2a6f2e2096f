package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// ErrClosed is what Append returns after Close.
var ErrClosed = errors.New("producer is closed")

// budget bounds the bytes that are held. While there is room, taking costs one
// atomic operation; when there is none, takers wait in the order in which they came.
// One that asks for more than the whole is served when nothing else is held.
type budget struct {
	limit   int64
	used    atomic.Int64
	waiting atomic.Int32 // len(queue), for the fast path to see

	mu     sync.Mutex
	queue  []*waiter // guarded by mu; first come, first served
	closed bool      // guarded by mu
}

type waiter struct {
	n     int64
	ready chan error // one value: nil with the bytes taken, or ErrClosed
}

// take waits until n bytes fit. full, if any, is called once before waiting.
func (b *budget) take(ctx context.Context, n int64, full func()) error {
	if b.waiting.Load() == 0 && b.try(n) {
		return nil
	}
	if full != nil {
		full()
	}
	w := &waiter{n: n, ready: make(chan error, 1)}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.queue = append(b.queue, w)
	b.waiting.Add(1) // before looking again, so that a give in between is seen or sees us
	b.serve()
	b.mu.Unlock()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case err := <-w.ready: // served meanwhile
		return err
	default:
	}
	for i := range b.queue {
		if b.queue[i] == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.waiting.Add(-1)
			break
		}
	}
	b.serve() // we may have been the one that did not fit
	return ctx.Err()
}

// give returns n bytes.
func (b *budget) give(n int64) {
	b.used.Add(-n)
	if b.waiting.Load() > 0 {
		b.mu.Lock()
		b.serve()
		b.mu.Unlock()
	}
}

// close refuses all that wait and come.
func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, w := range b.queue {
		w.ready <- ErrClosed
	}
	b.waiting.Add(-int32(len(b.queue)))
	b.queue = nil
}

func (b *budget) try(n int64) bool {
	for {
		u := b.used.Load()
		if u+n > b.limit && u > 0 {
			return false
		}
		if b.used.CompareAndSwap(u, u+n) {
			return true
		}
	}
}

// serve lets in who fits. The caller holds mu.
func (b *budget) serve() {
	for len(b.queue) > 0 && b.try(b.queue[0].n) {
		b.queue[0].ready <- nil
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.waiting.Add(-1)
	}
}
