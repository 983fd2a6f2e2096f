package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// ErrClosed is what Append returns after Close.
var ErrClosed = errors.New("producer is closed")

// Memory is a bound on what several producers hold together.
type Memory struct{ budget }

// NewMemory bounds the unacknowledged records of the producers that share it, their
// overhead included, to so many bytes.
func NewMemory(limit int64) *Memory { return &Memory{budget{limit: limit}} }

// Used is what they hold now.
func (m *Memory) Used() int64 { return m.used.Load() }

// budget bounds the bytes that are held. While there is room, taking costs one
// atomic operation; when there is none, takers wait in the order in which they came.
// One that asks for more than the whole is served when nothing else is held.
type budget struct {
	limit   int64
	used    atomic.Int64
	waiting atomic.Int32 // len(queue), for the fast path to see

	mu    sync.Mutex
	queue []*waiter // guarded by mu; first come, first served
}

type waiter struct {
	n     int64
	ready chan struct{} // closed when the bytes are taken
}

// take waits until n bytes fit, ctx ends or closed is. full, if any, is called once
// before waiting.
func (b *budget) take(ctx context.Context, closed <-chan struct{}, n int64, full func()) error {
	if b.waiting.Load() == 0 && b.try(n) {
		return nil
	}
	if full != nil {
		full()
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, w)
	b.waiting.Add(1) // before looking again, so that a give in between is seen or sees us
	b.serve()
	b.mu.Unlock()
	err := ErrClosed
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-closed:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // served meanwhile
		return nil
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
	return err
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
		close(b.queue[0].ready)
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.waiting.Add(-1)
	}
}
