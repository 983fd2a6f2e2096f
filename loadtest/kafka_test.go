package loadtest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// What KafkaWriter writes is read back whole, in order, at its places.
func TestKafkaWriterAndReader(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	k, err := NewKafkaWriter(ctx, cluster.ListenAddrs(), "logs", 3, "lz4")
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	l := NewLines(Workload{Seed: 1, Run: 1, Sources: 9, Skew: 1, Start: time.Now(), Rate: 10_000})
	if _, err := Generate(ctx, l, Pace{Lines: n}, k, nil); err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(VerifyOptions{Run: 1, Places: true, Ordered: true})
	var records atomic.Int64
	err = ReadKafka(ctx, cluster.ListenAddrs(), []string{"logs"}, func(value []byte, at time.Time) {
		if v.See(value, at); v.Distinct() == n {
			cancel()
		}
	}, &records)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Verdict(k.Ledger()); !got.OK() || got.Found != n || got.Latency.N != n {
		t.Error(got)
	}
}
