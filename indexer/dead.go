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
)

// deadLetters sends what an output refused for good to the dead-letter topic. A record
// is finished when the brokers have stored its letter, not before.
//
// Letters that wait hold no bulk, so a topic that takes nothing holds up the partitions
// of these letters alone. Their records are bounded by what the consumer holds.
type deadLetters struct {
	cluster  string // that is read
	output   string
	figures  *figures
	writer   *deadletter.Writer
	producer *kafka.Producer
	work     sync.WaitGroup
}

// newDeadLetters starts to write; close ends that after ctx has ended. A letter that the
// topic does not take is tried again after pause.
func newDeadLetters(ctx context.Context, cluster *kafka.Cluster, o kafka.ProducerOptions, topic, output string, pause time.Duration, log *slog.Logger, fig *figures) (*deadLetters, error) {
	d := &deadLetters{cluster: cluster.Name, output: output, figures: fig}
	o.Done = func(res *kafka.Result) {
		for i := range res.Tags {
			d.writer.Done(&res.Tags[i], res.Err)
		}
	}
	var err error
	if d.producer, err = kafka.NewProducer(ctx, cluster, o); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	d.writer = deadletter.NewWriter(topic, d.producer, pause, log)
	d.work.Go(func() { d.writer.Run(ctx) })
	return d, nil
}

// Write implements elastic.DeadLetters.
func (d *deadLetters) Write(it *bulk.Item, why *elastic.Refusal, lines []byte) {
	l := &deadletter.Letter{
		Record: kafka.RecordOf(&it.Record, nil), Cluster: d.cluster, Topic: it.Partition.Topic(), Partition: it.Partition.Partition(),
		Reason: why.Kind, Error: strings.TrimPrefix(why.Kind+": "+why.Reason, ": "), Status: why.Status, Role: "indexer", Output: d.output, Died: time.Now(),
	}
	if l.Reason == "" {
		l.Reason = "status " + strconv.Itoa(why.Status)
	}
	l.Target, l.ID = elastic.Target(lines)
	d.writer.Write(l, &buried{d.figures, it.Partition, it.Record.Offset, l.Reason})
}

// flush sends what is held back for a fuller batch.
func (d *deadLetters) flush() { d.producer.Flush() }

// close waits for the writer, whose context has ended, and ends the producer. What the
// topic has not taken is read again.
func (d *deadLetters) close() error {
	d.work.Wait()
	err := d.producer.Close()
	d.writer.Close()
	return err
}

// buried is an event on its way to the dead-letter topic; it is the letter's owner.
type buried struct {
	figures   *figures
	partition *bulk.Partition
	offset    int64
	reason    string
}

// Stored is part of deadletter.Owner.
func (b *buried) Stored() {
	b.figures.dead(b.reason).Inc()
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
