package kafka

import (
	"context"
	"runtime"
	"sync"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// packers compress batches once they are full or due, several at a time: nobody waits
// with a lock for it, and a partition's next batches are packed while one is under way.
type packers struct {
	p    *Producer
	work chan struct{} // cap 1: there is something to pack

	mu    sync.Mutex
	queue []*batch // guarded by mu
}

func newPackers(p *Producer) *packers { return &packers{p: p, work: make(chan struct{}, 1)} }

// start starts as many as there are CPUs, four at most.
func (k *packers) start(ctx context.Context) {
	for range min(runtime.GOMAXPROCS(0), 4) {
		k.p.running.Go(func() { k.run(ctx) })
	}
}

// put takes a batch that its partition has closed. The partition hears when it is
// packed. It may be called with the partition's lock held.
func (k *packers) put(b *batch) {
	k.p.packing.Add(1)
	k.mu.Lock()
	k.queue = append(k.queue, b)
	k.mu.Unlock()
	k.poke()
}

func (k *packers) poke() {
	select {
	case k.work <- struct{}{}:
	default:
	}
}

func (k *packers) next() *batch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		return nil
	}
	b := k.queue[0]
	k.queue = k.queue[:copy(k.queue, k.queue[1:])]
	if len(k.queue) > 0 {
		k.poke() // for another of us
	}
	return b
}

func (k *packers) run(ctx context.Context) {
	var packer wire.Packer
	for {
		select {
		case <-k.work:
		case <-ctx.Done():
			return
		}
		for b := k.next(); b != nil && ctx.Err() == nil; b = k.next() {
			freed := b.pack(&packer, k.p.codec, k.p.txn != nil)
			if freed > 0 {
				k.p.held.Add(-freed)
				k.p.budget.give(freed)
			}
			b.p.topic.packed(b.bytes, int64(b.packed.Size()))
			b.p.isPacked(b, k.p.sender.inbox)
			k.p.packing.Add(-1)
		}
	}
}
