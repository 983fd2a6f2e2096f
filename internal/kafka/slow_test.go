package kafka

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSlowPartition tells what a partition whose handler takes 50 ms a record
// leaves to the eleven others of the same broker: their records in three seconds, with
// it and without, in turn.
func BenchmarkSlowPartition(b *testing.B) {
	addrs := benchBroker(b, "fetch")
	run := func(slow bool) int64 {
		var others atomic.Int64
		r := newTaker(func(ctx context.Context, c *Claim, records []Record) {
			if c.Partition() > 0 {
				others.Add(int64(len(records)))
				c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
				return
			}
			for i := range records {
				if slow {
					select {
					case <-ctx.Done():
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
				c.Done(records[i].Offset)
			}
		})
		o := groupOptions("logs")
		o.DrainTimeout = time.Second
		_, leave := join(b, clusterAt(b, addrs...), o, r)
		eventually(b, "all partitions", func() bool { return r.assigned.Load() == 12 && others.Load() > 0 })
		time.Sleep(500 * time.Millisecond) // the slow one has filled its share
		from := others.Load()
		time.Sleep(3 * time.Second)
		n := others.Load() - from
		leave()
		return n
	}
	run(true)
	b.ResetTimer()
	var with, without int64
	for i := range b.N {
		if i%2 == 0 {
			without += run(false)
			with += run(true)
		} else {
			with += run(true)
			without += run(false)
		}
	}
	b.ReportMetric(float64(without)/float64(3*b.N), "rec/s-without")
	b.ReportMetric(float64(with)/float64(3*b.N), "rec/s-with")
	b.ReportMetric(100*float64(with)/float64(without), "%-left")
}

// taker is a handler that does nothing but what it is told.
type taker struct {
	batch    func(ctx context.Context, c *Claim, records []Record)
	assigned atomic.Int64
}

func newTaker(batch func(ctx context.Context, c *Claim, records []Record)) *taker {
	return &taker{batch: batch}
}

func (c *taker) Assigned(*Claim) { c.assigned.Add(1) }

func (c *taker) Batch(ctx context.Context, cl *Claim, records []Record) { c.batch(ctx, cl, records) }

func (c *taker) Revoked(context.Context, *Claim) {}

func (c *taker) Lost(*Claim) {}
