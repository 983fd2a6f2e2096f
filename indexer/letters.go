package indexer

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/indexer/output/elastic"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/metrics"
)

// letters sends the records of documents that an output has not stored to a topic: the
// dead-letter topic or the held topic. A record is finished when the brokers have stored
// its letter, not before.
//
// Letters that wait hold no bulk, so a topic that takes nothing holds up the partitions
// of these letters alone. Their records are bounded by what the consumer holds.
type letters struct {
	cluster  string // that is read
	output   string
	held     bool                                // they are tried again from the topic
	count    func(reason string) metrics.Counter // of events whose letter is stored
	figures  *figures
	writer   *deadletter.Writer
	producer *kafka.Producer
	work     sync.WaitGroup
}

// start begins to write; close ends that after ctx has ended. A letter that the topic
// does not take is tried again after pause.
func (w *letters) start(ctx context.Context, cluster *kafka.Cluster, o kafka.ProducerOptions, topic string, pause time.Duration, log *slog.Logger) error {
	o.Done = func(res *kafka.Result) {
		for i := range res.Tags {
			w.writer.Done(&res.Tags[i], res.Err)
		}
	}
	var err error
	if w.producer, err = kafka.NewProducer(ctx, cluster, o); err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	w.writer = deadletter.NewWriter(topic, w.producer, pause, log)
	w.work.Go(func() { w.writer.Run(ctx) })
	return nil
}

// Write implements elastic.Letters.
func (w *letters) Write(it *bulk.Item, why *elastic.Refusal, lines []byte) {
	l := &deadletter.Letter{Record: kafka.RecordOf(&it.Record, nil), Cluster: w.cluster, Topic: it.Partition.Topic(), Partition: it.Partition.Partition()}
	if k, ok := it.Partition.Marker.(*heldClaim); ok { // it was a letter before
		before := k.letter(it.Record.Offset)
		l = &deadletter.Letter{Record: before.Record, Cluster: before.Cluster, Topic: before.Topic, Partition: before.Partition, Since: before.Since}
	}
	w.sign(l, why)
	l.Target, l.ID = elastic.Target(lines)
	w.writer.Write(l, &buried{w.figures, w.count(l.Reason), it.Partition, it.Record.Offset})
}

// sign writes down in a letter why and when the output refused its record.
func (w *letters) sign(l *deadletter.Letter, why *elastic.Refusal) {
	l.Reason, l.Error, l.Status = why.Kind, strings.TrimPrefix(why.Kind+": "+why.Reason, ": "), why.Status
	if l.Reason == "" {
		l.Reason = "status " + strconv.Itoa(why.Status)
	}
	l.Role, l.Output, l.Died = "indexer", w.output, time.Now()
	switch {
	case !w.held:
		l.Since = time.Time{}
	case l.Since.IsZero():
		l.Since = l.Died
	}
}

// flush sends what is held back for a fuller batch.
func (w *letters) flush() { w.producer.Flush() }

// close waits for the writer, whose context has ended, and ends the producer. What the
// topic has not taken is read again.
func (w *letters) close() error {
	w.work.Wait()
	err := w.producer.Close()
	w.writer.Close()
	return err
}

// buried is an event on its way to a topic of letters; it is the letter's owner.
type buried struct {
	figures   *figures
	stored    metrics.Counter
	partition *bulk.Partition
	offset    int64
}

// Stored is part of deadletter.Owner.
func (b *buried) Stored() {
	b.stored.Inc()
	b.figures.output.InFlight.Add(-1)
	b.partition.Finish(b.offset, b.offset+1)
}

// Dropped is part of deadletter.Owner.
func (b *buried) Dropped() {
	b.figures.output.Returned.Inc()
	b.figures.output.InFlight.Add(-1)
	b.partition.Return(1)
}

// Held is part of deadletter.Owner.
func (b *buried) Held(bool) {}

// Ended is part of deadletter.Owner.
func (b *buried) Ended() bool { return b.partition.Lost() }
