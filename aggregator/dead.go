package aggregator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Headers of a dead letter, behind those of the record itself, whose key and value it
// has. The indexer's letters use the same names for the same things.
const (
	deadReason     = "dead.reason"      // why the target refused it
	deadCluster    = "dead.cluster"     // where it was read: cluster as configured,
	deadTopic      = "dead.topic"       // topic,
	deadPartition  = "dead.partition"   // partition
	deadOffset     = "dead.offset"      // and offset
	deadTarget     = "dead.target"      // topic that refused it
	deadTime       = "dead.time"        // when, RFC 3339
	deadRecordTime = "dead.record_time" // the record's own timestamp, RFC 3339
	deadPart       = "dead.part"        // 0-65536/200000: bytes of the value, where it is stored in parts
)

// A record that does not fit the dead-letter topic whole is stored there in parts of
// this size: far below any broker's limit.
const partSize = 64 << 10

// A record that the dead-letter topic refuses as well is tried again this often,
// since an operator may have raised a limit.
const holdRetry = time.Minute

// letter is a record that the target refused for ever.
type letter struct {
	flow   *flow
	record kafka.Record
	offset int64  // in the source partition
	topic  string // that refused it
	reason error

	cut  bool // into parts; changed only between two sendings
	held bool // refused by the dead-letter topic too; changed only between two sendings

	left    int   // parts not yet answered; guarded by morgue.mu
	refused error // of a part; guarded by morgue.mu
}

// morgue stores refused records in the dead-letter topic, one after the other. A
// partition takes nothing more while a letter of its is under way, so there are never
// more of them than records were in flight.
type morgue struct {
	*relay
	topic string
	wake  chan struct{} // holds one; there is something in queue, or a claim has ended

	mu    sync.Mutex
	queue []*letter // to be sent
	held  []*letter // refused; sent again each holdRetry
}

func newMorgue(r *relay) *morgue {
	return &morgue{relay: r, topic: r.cfg.Aggregator.DeadLetterTopic, wake: make(chan struct{}, 1)}
}

func (m *morgue) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// add takes a record that was refused; it does not block.
func (m *morgue) add(l *letter) {
	l.flow.note(1, 0)
	if l.flow.told.CompareAndSwap(false, true) {
		m.log.Warn("the target refuses records for ever: they go to the dead-letter topic", l.where("dead_letter_topic", m.topic)...)
	}
	m.requeue(l)
}

func (m *morgue) requeue(letters ...*letter) {
	m.mu.Lock()
	m.queue = append(m.queue, letters...)
	m.mu.Unlock()
	m.wakeUp()
}

// run sends letters until ctx ends.
func (m *morgue) run(ctx context.Context) {
	retry := time.NewTicker(holdRetry)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			m.sweep()
			return
		case <-m.wake:
			m.sweep()
		case <-retry.C:
			m.mu.Lock()
			m.queue, m.held = append(m.queue, m.held...), nil
			m.mu.Unlock()
		}
		for l := m.next(); l != nil; l = m.next() {
			m.send(ctx, l)
		}
	}
}

func (m *morgue) next() *letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		return nil
	}
	l := m.queue[0]
	m.queue = slices.Delete(m.queue, 0, 1)
	return l
}

// sweep gives back the letters of partitions that are no longer ours.
func (m *morgue) sweep() {
	m.mu.Lock()
	var gone []*letter
	keep := func(l *letter) bool {
		if l.flow.ended() {
			gone = append(gone, l)
			return true
		}
		return false
	}
	m.queue, m.held = slices.DeleteFunc(m.queue, keep), slices.DeleteFunc(m.held, keep)
	m.mu.Unlock()
	for _, l := range gone {
		m.release(l)
		l.flow.returned.Inc()
		l.flow.finish(1, size(&l.record), 1)
	}
}

// send appends the letter, whole or in parts; done is told of each.
func (m *morgue) send(ctx context.Context, l *letter) {
	n, err := m.out.Ensure(ctx, m.topic)
	if err == nil {
		records := l.records()
		m.mu.Lock()
		l.left, l.refused = len(records), nil
		m.mu.Unlock()
		for _, r := range records {
			if err = m.out.Append(ctx, m.topic, l.flow.claim.Partition()%n, r, kafka.Tag{Owner: l, Pos: l.offset}); err != nil {
				break
			}
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, kafka.ErrClosed) {
		m.log.Error("dead letter not sent", l.where("error", err)...)
	}
}

// records is the letter as it is stored: the record as it was, with headers behind its
// own that say where it came from and why it is here. Its time is now, since retention
// would delete an old one at once.
func (l *letter) records() []kafka.Record {
	h := func(key, value string) kafka.Header { return kafka.Header{Key: []byte(key), Value: []byte(value)} }
	c, now := l.flow.claim, time.Now()
	reason := l.reason.Error()
	whole := l.record
	whole.Time = now
	whole.Headers = slices.Concat(l.record.Headers, []kafka.Header{
		h(deadReason, reason[:min(len(reason), 1024)]),
		h(deadCluster, l.flow.source.cfg.Kafka),
		h(deadTopic, c.Topic()),
		h(deadPartition, strconv.Itoa(int(c.Partition()))),
		h(deadOffset, strconv.FormatInt(l.offset, 10)),
		h(deadTarget, l.topic),
		h(deadTime, now.UTC().Format(time.RFC3339Nano)),
		h(deadRecordTime, l.record.Time.UTC().Format(time.RFC3339Nano)),
	})
	if !l.cut {
		return []kafka.Record{whole}
	}
	var parts []kafka.Record
	size := len(l.record.Value)
	for from := 0; from < size; from += partSize {
		p, to := whole, min(from+partSize, size)
		p.Value = l.record.Value[from:to]
		p.Headers = slices.Concat(whole.Headers, []kafka.Header{h(deadPart, fmt.Sprintf("%d-%d/%d", from, to, size))})
		parts = append(parts, p)
	}
	return parts
}

// done is told that a part of the letter was stored, or refused.
func (m *morgue) done(l *letter, err error) {
	m.mu.Lock()
	if err != nil {
		l.refused = err
	}
	l.left--
	left, err := l.left, l.refused
	m.mu.Unlock()
	switch {
	case left > 0:
	case err == nil:
		l.flow.claim.Done(l.offset)
		m.release(l)
		l.flow.dead.Inc()
		l.flow.finish(1, size(&l.record), 1)
	case errors.Is(err, kafka.ErrTooLarge) && !l.cut && len(l.record.Value) > partSize:
		l.cut = true
		m.requeue(l)
	default:
		m.hold(l, err)
	}
}

// hold keeps the partition where it is: nothing may pass a record that is nowhere.
func (m *morgue) hold(l *letter, err error) {
	if !l.held {
		l.held = true
		l.flow.note(0, 1)
		m.gauge(l).Add(1)
		m.log.Error("partition held: neither the target nor the dead-letter topic takes a record", l.where("dead_letter_topic", m.topic, "error", err)...)
	}
	m.mu.Lock()
	m.held = append(m.held, l)
	m.mu.Unlock()
	m.wakeUp() // the claim may have ended meanwhile
}

// release undoes hold.
func (m *morgue) release(l *letter) {
	if !l.held {
		return
	}
	l.held = false
	l.flow.note(0, -1)
	m.gauge(l).Add(-1)
	m.log.Info("partition no longer held", l.where()...)
}

func (m *morgue) gauge(l *letter) interface{ Add(float64) } {
	return m.reg.Gauge(recordsHeld, l.flow.source.cfg.Kafka, l.flow.claim.Topic())
}

// where is what the log says of a letter.
func (l *letter) where(more ...any) []any {
	c := l.flow.claim
	return append([]any{"kafka", l.flow.source.cfg.Kafka, "topic", c.Topic(), "partition", c.Partition(), "offset", l.offset,
		"bytes", len(l.record.Value), "reason", l.reason}, more...)
}
