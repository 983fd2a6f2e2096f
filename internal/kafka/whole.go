package kafka

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// ErrNoTopic is that of a topic that does not exist.
var ErrNoTopic = errors.New("no such topic")

// wholeTries is how often a partition is asked for in a row before its error is final.
const wholeTries = 8

// ReadWhole reads what a topic holds now: of each partition, one after the other, the
// records from the oldest to the last that was committed when the partition's turn came.
// f may keep what a record points to. It is no member of a group and commits nothing.
// An error of f ends it.
func ReadWhole(ctx context.Context, c *Cluster, topic string, f func(partition int32, r *Record) error) error {
	k, end, err := c.control(ctx)
	if err != nil {
		return err
	}
	defer end()
	w := &whole{ctx: ctx, k: k, topic: topic, f: f}
	leaders, err := w.leaders()
	if err != nil {
		return fmt.Errorf("read topic %s of %s: %w", topic, c.Name, err)
	}
	for p := range leaders {
		if err := w.partition(int32(p)); err != nil {
			return fmt.Errorf("read %s/%d of %s: %w", topic, p, c.Name, err)
		}
	}
	return nil
}

// whole is a topic that is read from end to end.
type whole struct {
	ctx   context.Context
	k     *control
	topic string
	f     func(int32, *Record) error
}

// patiently tries until something is done, some times at least; an error of f is final.
func (w *whole) patiently(do func() error) error {
	for failed := 1; ; failed++ {
		err := do()
		var final refusedByCaller
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.error
		case w.ctx.Err() != nil:
			return w.ctx.Err()
		case failed == wholeTries, errors.Is(err, ErrNoTopic), judge(err, 1) == slowly && !moved(err):
			return err
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(w.k.cluster.waits().backoff.Pause(failed)):
		}
	}
}

type refusedByCaller struct{ error }

func (w *whole) leaders() (leaders []leader, err error) {
	err = w.patiently(func() error {
		md, err := w.k.metadata([]string{w.topic}, false)
		if err != nil {
			return err
		}
		m := md[w.topic]
		if errors.Is(m.err, sarama.ErrUnknownTopicOrPartition) {
			return ErrNoTopic
		}
		leaders = m.leaders
		return m.err
	})
	return leaders, err
}

// partition reads one partition; where it was read to survives a change of leader.
func (w *whole) partition(p int32) error {
	at, end := int64(-1), int64(-1)
	return w.patiently(func() error {
		leaders, err := w.leaders()
		if err != nil {
			return err
		}
		if int(p) >= len(leaders) || leaders[p].addr == "" {
			return sarama.ErrLeaderNotAvailable
		}
		return w.k.at(leaders[p].addr, func(b *sarama.Broker) error {
			if end < 0 {
				if at, err = w.offset(b, p, sarama.OffsetOldest); err != nil {
					return err
				}
				if end, err = w.offset(b, p, sarama.OffsetNewest); err != nil {
					return err
				}
			}
			for at < end {
				next, err := w.fetch(b, p, at, end)
				if err != nil {
					return err
				}
				if next == at {
					return nil // what follows belongs to a transaction that is open
				}
				at = next
			}
			return nil
		})
	})
}

func (w *whole) offset(b *sarama.Broker, p int32, at int64) (int64, error) {
	req := sarama.NewOffsetRequest(w.k.conf.Version)
	req.IsolationLevel = sarama.ReadCommitted
	req.AddBlock(w.topic, p, at, 1)
	resp, err := b.GetAvailableOffsets(req)
	if err != nil {
		return 0, err
	}
	block := resp.GetBlock(w.topic, p)
	switch {
	case block == nil:
		return 0, sarama.ErrIncompleteResponse
	case block.Err != sarama.ErrNoError:
		return 0, block.Err
	}
	if len(block.Offsets) > 0 {
		return block.Offsets[0], nil
	}
	return block.Offset, nil
}

// fetch hands over records from at on, and reports up to where; at: there is nothing yet.
func (w *whole) fetch(b *sarama.Broker, p int32, at, end int64) (next int64, err error) {
	req := &sarama.FetchRequest{Version: 10, MaxWaitTime: 500, MinBytes: 1, MaxBytes: 8 << 20, Isolation: sarama.ReadCommitted, SessionEpoch: -1}
	req.AddBlock(w.topic, p, at, 1<<20, -1)
	resp, err := b.Fetch(req)
	if err != nil {
		return at, err
	}
	block := resp.GetBlock(w.topic, p)
	switch {
	case block == nil:
		return at, sarama.ErrIncompleteResponse
	case block.Err != sarama.ErrNoError:
		return at, block.Err
	}
	next = at
	aborted := newAborted(block.AbortedTransactions)
	for _, set := range block.RecordsSet {
		batch := set.RecordBatch
		if batch == nil {
			return at, errors.New("it holds records of before Kafka 0.11, which cannot be read")
		}
		if batch.PartialTrailingRecord {
			continue
		}
		if !aborted.has(batch) {
			for _, rec := range batch.Records {
				offset := batch.FirstOffset + rec.OffsetDelta
				if offset < at || offset >= end {
					continue
				}
				if err := w.f(p, record(batch, rec)); err != nil {
					return at, refusedByCaller{err}
				}
			}
		}
		next = max(next, batch.FirstOffset+int64(batch.LastOffsetDelta)+1)
	}
	return next, nil
}

func record(batch *sarama.RecordBatch, rec *sarama.Record) *Record {
	r := &Record{Key: rec.Key, Value: rec.Value, Time: batch.FirstTimestamp.Add(rec.TimestampDelta), Offset: batch.FirstOffset + rec.OffsetDelta, Appended: batch.LogAppendTime}
	if batch.LogAppendTime {
		r.Time = batch.MaxTimestamp
	}
	for _, h := range rec.Headers {
		r.Headers = append(r.Headers, Header(*h))
	}
	return r
}

// abortedTxns is transactions that were aborted, of the records of one answer.
type abortedTxns struct {
	coming []*sarama.AbortedTransaction // in the order of their first records
	open   map[int64]bool               // producers whose records belong to one
}

func newAborted(list []*sarama.AbortedTransaction) *abortedTxns {
	a := &abortedTxns{coming: slices.Clone(list), open: map[int64]bool{}}
	slices.SortFunc(a.coming, func(x, y *sarama.AbortedTransaction) int { return cmp.Compare(x.FirstOffset, y.FirstOffset) })
	return a
}

// has takes one batch after the other and reports whether it is of such a transaction.
func (a *abortedTxns) has(b *sarama.RecordBatch) bool {
	for len(a.coming) > 0 && a.coming[0].FirstOffset <= b.FirstOffset+int64(b.LastOffsetDelta) {
		a.open[a.coming[0].ProducerID] = true
		a.coming = a.coming[1:]
	}
	if b.Control {
		if len(b.Records) > 0 && len(b.Records[0].Key) >= 4 && binary.BigEndian.Uint16(b.Records[0].Key[2:]) == 0 {
			delete(a.open, b.ProducerID) // its end
		}
		return true
	}
	return b.IsTransactional && a.open[b.ProducerID]
}
