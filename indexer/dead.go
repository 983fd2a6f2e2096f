package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/retry"
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
//
// Letters that wait hold no bulk, so a topic that takes nothing holds up the partitions
// of these letters alone. Their records are bounded by what the consumer holds.
type deadLetters struct {
	topic    string
	output   string
	log      *slog.Logger
	figures  *figures
	producer *kafka.Producer
	pause    time.Duration // before a letter that the topic does not take is tried again

	work sync.WaitGroup
	wake chan struct{} // cap 1: queue has something

	mu    sync.Mutex
	queue []*deadBytes // to be sent, again or for the first time; guarded by mu
}

// letter is one event on its way to the topic.
type letter struct {
	partition *bulk.Partition
	record    kafka.Record // as read
	why       *elastic.Refusal
	index     string // it was to go to
	id        string // its _id was to be
	at        time.Time
	headers   []kafka.Header // of the letter; made by run
	open      atomic.Int32   // parts not stored
	returned  bool           // owned by close
}

// deadBytes is a part of a letter; it is the tag's owner.
type deadBytes struct {
	*letter
	from, to int
	err      error // why the topic did not take it; nil: not sent yet
}

func newDeadLetters(ctx context.Context, cluster *kafka.Cluster, o kafka.ProducerOptions, topic, output string, pause time.Duration, log *slog.Logger, fig *figures) (*deadLetters, error) {
	d := &deadLetters{topic: topic, output: output, log: log, figures: fig, pause: pause, wake: make(chan struct{}, 1)}
	o.Done = d.done
	var err error
	if d.producer, err = kafka.NewProducer(ctx, cluster, o); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	d.work.Go(func() { d.run(ctx) })
	return d, nil
}

// Write implements elastic.DeadLetters.
func (d *deadLetters) Write(it *bulk.Item, why *elastic.Refusal, lines []byte) {
	l := &letter{partition: it.Partition, record: it.Record, why: why, at: time.Now()}
	l.index, l.id = action(lines)
	l.open.Store(1)
	d.put(&deadBytes{letter: l, to: len(l.record.Value)})
}

func (d *deadLetters) put(b *deadBytes) {
	d.mu.Lock()
	d.queue = append(d.queue, b)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run sends what is in the queue. What the topic refused is sent again: in halves if it
// was too large, else after a pause, for ever, until somebody mends the topic. Its
// offsets are not committed.
func (d *deadLetters) run(ctx context.Context) {
	for {
		select {
		case <-d.wake:
		case <-ctx.Done():
			return
		}
		d.mu.Lock()
		queue := d.queue
		d.queue = nil
		d.mu.Unlock()
		waited := false
		for i, b := range queue {
			if b.err != nil && !waited && !b.divisible() {
				d.log.Error("the dead-letter topic is rejecting an event; it is tried again and nothing after it is committed",
					"topic", d.topic, "from", b.partition.Topic(), "partition", b.partition.Partition(), "offset", b.record.Offset, "error", b.err)
				retry.Wait(ctx, d.pause)
				waited = true
			}
			if d.send(ctx, b) != nil { // it ends
				d.mu.Lock()
				d.queue = append(d.queue, queue[i:]...)
				d.mu.Unlock()
				return
			}
		}
	}
}

// divisible reports whether halves are to be sent instead.
func (b *deadBytes) divisible() bool {
	return errors.Is(b.err, kafka.ErrTooLarge) && b.to-b.from > leastPart
}

// send hands a part to the producer, in halves if it was too large; an error is the end
// of ctx.
func (d *deadLetters) send(ctx context.Context, b *deadBytes) error {
	if b.divisible() {
		mid := (b.from + b.to) / 2
		b.open.Add(1)
		if err := d.send(ctx, &deadBytes{letter: b.letter, from: b.from, to: mid}); err != nil {
			return err
		}
		return d.send(ctx, &deadBytes{letter: b.letter, from: mid, to: b.to})
	}
	parts, err := d.producer.Ensure(ctx, d.topic)
	if err != nil {
		return err
	}
	if b.headers == nil {
		b.headers = d.headers(b.letter)
	}
	r := b.record
	r.Time, r.Headers, r.Value = b.at, b.headers, r.Value[b.from:b.to]
	if whole := len(b.record.Value); len(r.Value) != whole {
		r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)],
			kafka.Header{Key: []byte(deadPart), Value: fmt.Appendf(nil, "%d-%d/%d", b.from, b.to, whole)})
	}
	return d.producer.Append(ctx, d.topic, b.partition.Partition()%max(parts, 1), r, kafka.Tag{Owner: b, Pos: b.record.Offset})
}

// headers are those of the record, without what an earlier refusal left there, and ours.
func (d *deadLetters) headers(l *letter) []kafka.Header {
	out := make([]kafka.Header, 0, len(l.record.Headers)+10)
	for _, h := range l.record.Headers {
		if len(h.Key) < 5 || string(h.Key[:5]) != "dead." {
			out = append(out, h)
		}
	}
	add := func(key, value string) {
		out = append(out, kafka.Header{Key: []byte(key), Value: []byte(value)})
	}
	add(deadReason, l.why.Kind+": "+l.why.Reason)
	add(deadStatus, strconv.Itoa(l.why.Status))
	add(deadOutput, d.output)
	add(deadIndex, l.index)
	add(deadID, l.id)
	add(deadTopic, l.partition.Topic())
	add(deadPartition, strconv.Itoa(int(l.partition.Partition())))
	add(deadOffset, strconv.FormatInt(l.record.Offset, 10))
	add(deadTime, l.at.UTC().Format(time.RFC3339Nano))
	return out
}

// action reads index and id from the action line of a document.
func action(lines []byte) (index, id string) {
	line, _, _ := bytes.Cut(lines, []byte("\n"))
	var o jsontext.Object
	if !o.Read(line) || len(o.Members) != 1 || !o.Read(o.Members[0].Value) {
		return "", ""
	}
	for _, m := range o.Members {
		switch string(m.Key) {
		case "_index":
			index = m.Text()
		case "_id":
			id = m.Text()
		}
	}
	return index, id
}

// done is the producer's callback.
func (d *deadLetters) done(res *kafka.Result) {
	for i := range res.Tags {
		b := res.Tags[i].Owner.(*deadBytes)
		if b.err = res.Err; b.err != nil {
			d.put(b)
			continue
		}
		if b.open.Add(-1) == 0 {
			reason := b.why.Kind
			if reason == "" {
				reason = "status " + strconv.Itoa(b.why.Status)
			}
			d.figures.dead(reason).Inc()
			d.figures.output.InFlight.Add(-1)
			b.partition.Finish(b.record.Offset, b.record.Offset+1)
		}
	}
}

// flush sends what is held back for a fuller batch.
func (d *deadLetters) flush() { d.producer.Flush() }

// close waits for run, whose context has ended, and ends the producer. What the topic
// has not taken is read again.
func (d *deadLetters) close() error {
	d.work.Wait()
	err := d.producer.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.queue {
		if !b.returned {
			b.returned = true
			b.partition.Return(1)
			d.figures.output.Returned.Inc()
			d.figures.output.InFlight.Add(-1)
		}
	}
	d.queue = nil
	return err
}
