package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// progress is what relays have committed, by partition.
type progress struct {
	mu sync.Mutex
	at map[int32]int64 // guarded by mu
}

func (p *progress) moved() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.at {
		n += at
	}
	return n
}

// relay is a member that moves what it reads to another cluster by lanes: partition p to p,
// some batches as they are and some record by record.
type relay struct {
	t     testing.TB
	topic string // of the target
	lanes *Lanes
	*progress

	mu     sync.Mutex
	flows  map[*Claim]*atomic.Int64 // offset before which all is appended; guarded by mu
	wholes atomic.Int64
}

func newRelay(t testing.TB, target *Cluster, topic string, lanes int, p *progress) *relay {
	r := &relay{t: t, topic: topic, flows: map[*Claim]*atomic.Int64{}, progress: p}
	o := LaneOptions{Produce: produceOptions().Produce, Memory: NewMemory(8 << 20), Name: "relay.test", Count: lanes, Stage: r, Topic: func(string) string { return topic }}
	o.BatchBytes = 8000
	var err error
	if r.lanes, err = NewLanes(target, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.lanes.Close)
	return r
}

func (r *relay) flow(c *Claim) *atomic.Int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flows[c]
}

func (r *relay) Assigned(c *Claim) {
	at := new(atomic.Int64)
	at.Store(c.From())
	r.mu.Lock()
	r.flows[c] = at
	r.mu.Unlock()
	r.lanes.Assigned(c)
}

func (r *relay) Takes(*Claim, *Stored) bool { return rand.N(4) > 0 }

func (r *relay) Stored(ctx context.Context, c *Claim, w *Stored) {
	_ = r.lanes.Append(ctx, c, func(p *Producer) error {
		err := p.AppendStored(ctx, r.topic, c.Partition(), w, Tag{})
		if err == nil {
			r.wholes.Add(1)
			r.flow(c).Store(w.LastOffset() + 1)
		}
		return err
	})
}

func (r *relay) Views(ctx context.Context, c *Claim, records []View) {
	_ = r.lanes.Append(ctx, c, func(p *Producer) error {
		n, err := p.AppendViews(ctx, r.topic, c.Partition(), &Views{Records: records})
		if n > 0 {
			r.flow(c).Store(records[n-1].Offset + 1)
		}
		return err
	})
}

func (r *relay) Revoked(ctx context.Context, c *Claim) {
	r.lanes.Flush(ctx, c)
	r.Lost(c)
}

func (r *relay) Lost(c *Claim) {
	r.lanes.Leave(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flows, c)
}

func (r *relay) Done(res *Result) {
	if res.Err == nil && res.Count == 0 {
		r.t.Error("a batch of no records is stored")
	}
}

func (r *relay) Upto(c *Claim) (int64, error) { return r.flow(c).Load(), nil }

func (r *relay) Committed(c *Claim, upto int64) {
	c.DoneAll(0, upto)
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	r.at[c.Partition()] = max(r.at[c.Partition()], upto)
}

// crash abandons the producer of a lane in the middle of whatever it does.
func (r *relay) crash(lane int) bool {
	r.lanes.mu.Lock()
	l := r.lanes.lanes[laneKey{"logs", lane}]
	r.lanes.mu.Unlock()
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.p != nil
	l.reset(fmt.Errorf("crash"))
	return was
}

// usurp starts a producer with the id of a lane, as a member does that thinks the lane is its
// own.
func (r *relay) usurp(lane int) error {
	l := r.lanes.lane("logs", int32(lane))
	o := produceOptions()
	o.TransactionalID = l.id
	p, err := NewProducer(r.t.Context(), r.lanes.target, o)
	if err != nil {
		return err
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second)
	defer cancel()
	return p.txn.wait(ctx)
}
