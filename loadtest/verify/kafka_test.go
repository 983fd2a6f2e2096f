package verify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/loadtest/generate"
)

// oneBroker is a cluster of one node, in this process.
func oneBroker(t *testing.T) []string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()
}

// What KafkaWriter writes is read back whole, in order, at its places.
func TestKafkaWriterAndReader(t *testing.T) {
	brokers := oneBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	k, err := generate.NewKafkaWriter(ctx, brokers, "logs", 3, "lz4")
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	l := generate.NewLines(generate.Workload{Seed: 1, Run: 1, Sources: 9, Skew: 1, Start: time.Now(), Rate: 10_000})
	if _, err := generate.Run(ctx, l, generate.Pace{Lines: n}, k, nil); err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(Options{Run: 1, Places: true, Ordered: true})
	var far Reading
	err = Kafka(ctx, brokers, []string{"logs"}, func(value []byte, at time.Time) {
		if v.See(value, at); v.Distinct() == n {
			cancel()
		}
	}, &far)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Verdict(k.Ledger()); !got.OK() || got.Found != n || got.Latency.N != n {
		t.Error(got)
	}
}

// All is read to the end, also what comes behind the last line that is new.
func TestReadAllToTheEnd(t *testing.T) {
	brokers := oneBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const n, again = 500, 5000
	w := generate.Workload{Seed: 1, Run: 1, Sources: 1, Start: time.Now(), Rate: 10_000}
	k, err := generate.NewKafkaWriter(ctx, brokers, "logs", 3, "lz4")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := generate.Run(ctx, generate.NewLines(w), generate.Pace{Lines: n}, k, nil); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("a"), kgo.DefaultProduceTopic("logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	// In another partition, and the end of each is the mark of a transaction.
	l := generate.NewLines(w)
	l.Next()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for range again {
		cl.Produce(ctx, &kgo.Record{Partition: 2, Value: l.AppendText(nil)}, nil)
	}
	if err := errors.Join(cl.Flush(ctx), cl.EndTransaction(ctx, kgo.TryCommit)); err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(Options{Run: 1, Repeats: true})
	if err := All(ctx, brokers, []string{"logs"}, v, v.See, n); err != nil {
		t.Fatal(err)
	}
	if got := v.Verdict(k.Ledger()); got.Found != n || got.Doubled != again {
		t.Error(got)
	}
}
