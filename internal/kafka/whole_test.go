package kafka

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A topic is read from end to end: every partition, every committed record with all that
// it has, nothing of an aborted transaction, nothing that comes meanwhile.
func TestReadWhole(t *testing.T) {
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "t"))
	plain, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	want := map[string]bool{}
	put := func(cl *kgo.Client, partition int32, text string) {
		t.Helper()
		r := &kgo.Record{Topic: "t", Partition: partition, Key: []byte("k" + text), Value: []byte(text), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(text)}}, Timestamp: time.UnixMilli(1_700_000_000_123)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		text := fmt.Sprint("plain", i)
		put(plain, int32(i%2), text) // partition 2 stays empty but for transactions
		want[text] = true
	}
	txn, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	for i := range 6 {
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		text, end := fmt.Sprint("txn", i), kgo.TransactionEndTry(i%2 == 0)
		put(txn, 2, text)
		put(txn, 2, text+"b")
		if err := txn.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		if end {
			want[text], want[text+"b"] = true, true
		}
	}
	got := map[string]bool{}
	last := map[int32]int64{}
	err = ReadWhole(t.Context(), clusterAt(t, k.ListenAddrs()...), "t", func(p int32, r *Record) error {
		text := string(r.Value)
		if got[text] || !want[text] {
			t.Errorf("%q came twice, or should not", text)
		}
		if string(r.Key) != "k"+text || len(r.Headers) != 1 || string(r.Headers[0].Value) != text || r.Time.UnixMilli() != 1_700_000_000_123 {
			t.Errorf("%q is %+v", text, r)
		}
		if before, ok := last[p]; ok && r.Offset <= before {
			t.Errorf("offset %d of partition %d after %d", r.Offset, p, before)
		}
		got[text], last[p] = true, r.Offset
		if len(got) == 1 {
			put(plain, p, "meanwhile")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
}

func TestReadWholeFails(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	c := clusterAt(t, k.ListenAddrs()...)
	none := func(int32, *Record) error { return nil }
	if err := ReadWhole(t.Context(), c, "none", none); !errors.Is(err, ErrNoTopic) {
		t.Errorf("a topic that is not there: %v", err)
	}
	if err := ReadWhole(t.Context(), c, "t", none); err != nil {
		t.Errorf("an empty topic: %v", err)
	}
	p := newTestProducer(t, c, produceOptions(), nil)
	if err := p.Append(t.Context(), "t", 0, Record{Value: []byte("x"), Time: time.Now()}, Tag{}); err != nil {
		t.Fatal(err)
	}
	drain(t, p)
	stop := errors.New("enough")
	if err := ReadWhole(t.Context(), c, "t", func(int32, *Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the function: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ReadWhole(ctx, c, "t", none); err == nil {
		t.Error("a context that has ended is no error")
	}
	if err := ReadWhole(t.Context(), clusterAt(t, unusedAddr(t)), "t", none); err == nil {
		t.Error("a cluster that is away is no error")
	}
}

func TestEnsureCompacted(t *testing.T) {
	k := fake(t)
	c := clusterAt(t, k.ListenAddrs()...)
	if err := EnsureCompacted(t.Context(), c, "marks"); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "marks"})
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	policy := ""
	for _, e := range resp.Resources[0].Configs {
		if e.Name == "cleanup.policy" && e.Value != nil {
			policy = *e.Value
		}
	}
	if policy != "compact" {
		t.Errorf("cleanup.policy is %q", policy)
	}
	if err := EnsureCompacted(t.Context(), c, "marks"); err != nil {
		t.Errorf("the second time: %v", err)
	}
}
