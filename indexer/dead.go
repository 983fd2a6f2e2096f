package indexer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// Headers of a dead letter, beside those of the record itself. Key and value are the
// record's own bytes.
const (
	deadReason    = "dead.reason"    // type and text of the error
	deadStatus    = "dead.status"    // of the item's answer
	deadOutput    = "dead.output"    // name of the output that refused it
	deadIndex     = "dead.index"     // it was to go to
	deadID        = "dead.id"        // its _id was to be
	deadTopic     = "dead.topic"     // where the record was read: topic,
	deadPartition = "dead.partition" // partition
	deadOffset    = "dead.offset"    // and offset
	deadTime      = "dead.time"      // when it was refused, RFC 3339
	deadPart      = "dead.part"      // 0-524288/1048577: bytes of the value, where it had to be sent in parts
)

// leastPart is the part of a value below which a record that is too large for the
// broker is not cut any further: the topic then takes nothing.
const leastPart = 512

// deadLetters writes to the dead-letter topic. A record is finished when the brokers
// have stored its letter, not before. A letter that is too large for the topic is sent
// in parts, each with its range of bytes, so nothing is lost.
type deadLetters struct {
	topic    string
	output   string
	log      *slog.Logger
	fig      *figures
	cluster  *kafka.Cluster
	producer *kafka.Producer
	ensure   sync.Once
	retry    time.Duration // before a letter that the topic does not take is tried again

	work sync.WaitGroup
	wake chan struct{} // cap 1: refused has something

	mu      sync.Mutex
	refused []refusedPart // guarded by mu
}

// letter is one event on its way to the topic.
type letter struct {
	claim     *claim
	topic     string
	partition int32
	record    kafka.Record // with the letter's headers
	reason    string
	open      atomic.Int32 // parts not stored
}

// deadBytes is a part of a letter; it is the tag's owner.
type deadBytes struct {
	*letter
	from, to int
}

type refusedPart struct {
	part *deadBytes
	err  error
}

func newDeadLetters(ctx context.Context, cluster *kafka.Cluster, o kafka.ProducerOptions, topic, output string, retry time.Duration, log *slog.Logger, fig *figures) (*deadLetters, error) {
	d := &deadLetters{topic: topic, output: output, log: log, fig: fig, cluster: cluster, retry: retry, wake: make(chan struct{}, 1)}
	o.Done = d.done
	var err error
	if d.producer, err = kafka.NewProducer(ctx, cluster, o); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	d.work.Go(func() { d.mend(ctx) })
	return d, nil
}

// write sends the event of an item; an error is that of ctx. lines are those of the
// bulk body.
func (d *deadLetters) write(ctx context.Context, it *item, why *refusal, lines []byte) error {
	d.ensure.Do(func() {
		if err := kafka.EnsureTopic(ctx, d.cluster, d.topic, 0, 0); err != nil && ctx.Err() == nil {
			d.log.Error("the dead-letter topic cannot be made", "topic", d.topic, "error", err)
		}
	})
	parts, err := d.producer.Partitions(ctx, d.topic)
	if err != nil {
		return err
	}
	index, id := action(lines)
	r := it.record
	r.Time = time.Now()
	r.Headers = make([]kafka.Header, 0, len(it.record.Headers)+10)
	for _, h := range it.record.Headers {
		if len(h.Key) < 5 || string(h.Key[:5]) != "dead." {
			r.Headers = append(r.Headers, h)
		}
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, kafka.Header{Key: []byte(key), Value: []byte(value)})
	}
	reason := why.kind + ": " + why.reason
	add(deadReason, reason[:min(len(reason), 1024)])
	add(deadStatus, strconv.Itoa(why.status))
	add(deadOutput, d.output)
	add(deadIndex, index)
	add(deadID, id)
	add(deadTopic, it.claim.Topic())
	add(deadPartition, strconv.Itoa(int(it.claim.Partition())))
	add(deadOffset, strconv.FormatInt(it.record.Offset, 10))
	add(deadTime, r.Time.UTC().Format(time.RFC3339Nano))
	l := &letter{claim: it.claim, topic: d.topic, partition: it.claim.Partition() % max(parts, 1), record: r, reason: why.kind}
	if l.reason == "" {
		l.reason = "status " + strconv.Itoa(why.status)
	}
	l.open.Store(1)
	return d.send(ctx, &deadBytes{l, 0, len(r.Value)})
}

func (d *deadLetters) send(ctx context.Context, b *deadBytes) error {
	r := b.record
	r.Value = r.Value[b.from:b.to]
	if whole := len(b.record.Value); len(r.Value) != whole {
		r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)],
			kafka.Header{Key: []byte(deadPart), Value: fmt.Appendf(nil, "%d-%d/%d", b.from, b.to, whole)})
	}
	return d.producer.Append(ctx, b.topic, b.partition, r, kafka.Tag{Owner: b, Pos: b.record.Offset})
}

// action reads index and id from the action line of a document.
func action(lines []byte) (index, id string) {
	var s scanner
	end := 0
	for end < len(lines) && lines[end] != '\n' {
		end++
	}
	if s.object(lines[:end]) && len(s.members) == 1 && s.object(s.members[0].value) {
		return text(value(&s, "_index")), text(value(&s, "_id"))
	}
	return "", ""
}

// done is the producer's callback.
func (d *deadLetters) done(res *kafka.Result) {
	for i := range res.Tags {
		b := res.Tags[i].Owner.(*deadBytes)
		if res.Err != nil {
			d.mu.Lock()
			d.refused = append(d.refused, refusedPart{b, res.Err})
			d.mu.Unlock()
			select {
			case d.wake <- struct{}{}:
			default:
			}
			continue
		}
		if b.open.Add(-1) == 0 {
			d.fig.reg.Counter(eventsDead, d.fig.name, b.reason).Inc()
			d.fig.inFlight.Add(-1)
			b.claim.finish(b.record.Offset, b.record.Offset+1, 1)
		}
	}
}

// mend sends again what the topic refused: in halves if it was too large, else after a
// pause, for ever, until somebody mends the topic. Its offsets are not committed.
func (d *deadLetters) mend(ctx context.Context) {
	for {
		select {
		case <-d.wake:
		case <-ctx.Done():
			return
		}
		d.mu.Lock()
		refused := d.refused
		d.refused = nil
		d.mu.Unlock()
		waited := false
		for _, r := range refused {
			b := r.part
			if errors.Is(r.err, kafka.ErrTooLarge) && b.to-b.from > leastPart {
				mid := (b.from + b.to) / 2
				b.open.Add(1)
				if d.send(ctx, &deadBytes{b.letter, b.from, mid}) != nil || d.send(ctx, &deadBytes{b.letter, mid, b.to}) != nil {
					return
				}
				continue
			}
			if !waited {
				d.log.Error("the dead-letter topic does not take an event; it is tried again and nothing behind it is committed",
					"topic", d.topic, "from", b.claim.Topic(), "partition", b.claim.Partition(), "offset", b.record.Offset, "error", r.err)
				pause(ctx, d.retry)
				waited = true
			}
			if d.send(ctx, b) != nil {
				return
			}
		}
	}
}

// flush sends what is held back for a fuller batch.
func (d *deadLetters) flush() { d.producer.Flush() }

// close waits for mend, whose context has ended, and ends the producer.
func (d *deadLetters) close() error {
	d.work.Wait()
	return d.producer.Close()
}
