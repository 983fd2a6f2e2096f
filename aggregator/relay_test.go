package aggregator

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
)

// labelled is n records of partition p with a dc header and a number as value.
func labelled(p int32, from, n int, dc bool) (rs []*kgo.Record) {
	for i := range n {
		r := &kgo.Record{Partition: p, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(from+i)), Key: []byte("k"), Value: fmt.Appendf(nil, "%08d %s", from+i, strings.Repeat("x", 50))}
		if dc {
			r.Headers = []kgo.RecordHeader{{Key: "dc", Value: []byte("east")}}
		}
		rs = append(rs, r)
	}
	return rs
}

// writer is a producer of the source, a batch a call.
func (s *site) writer(o ...kgo.Opt) (write func(rs ...*kgo.Record)) {
	s.t.Helper()
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(s.clusters["dc1"].ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("logs"),
		kgo.ProducerBatchMaxBytes(1<<20), kgo.ProducerLinger(20*time.Millisecond))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return func(rs ...*kgo.Record) {
		s.t.Helper()
		if err := c.ProduceSync(s.t.Context(), rs...).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// batches is what a partition of a cluster holds, batch by batch.
func (s *site) batches(cluster string, partition int32) (out [][]byte) {
	s.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.clusters[cluster].ListenAddrs()...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, 64<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = "logs", s.clusters[cluster].TopicInfo("logs").TopicID, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.Topics = -1, 64<<20, append(req.Topics, t)
	resp, err := req.RequestWith(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	for set := resp.Topics[0].Partitions[0].RecordBatches; len(set) > 12; {
		n := 12 + int(binary.BigEndian.Uint32(set[8:]))
		out = append(out, set[:n])
		set = set[n:]
	}
	return out
}

const headerSize = 61

// payloads is the batches without headers and without the ends of transactions.
func payloads(batches [][]byte) (out [][]byte) {
	for _, b := range batches {
		if b[22]&0x20 == 0 {
			out = append(out, b[headerSize:])
		}
	}
	return out
}

// wantRelayed waits until partition p of the target holds the numbers from 0 to n, once and in
// order, each with a dc header of this value.
func (s *site) wantRelayed(p int32, n int, dc string) {
	s.t.Helper()
	next := 0
	for _, r := range s.take("central", "logs", n) {
		if r.Partition != p {
			continue
		}
		if !strings.HasPrefix(string(r.Value), fmt.Sprintf("%08d ", next)) || string(r.Key) != "k" || r.Timestamp.UnixMilli() != 1_700_000_000_000+int64(next) {
			s.t.Fatalf("partition %d holds %.9s of %v, want %d", p, r.Value, r.Timestamp, next)
		}
		if len(r.Headers) != 1 || r.Headers[0].Key != "dc" || string(r.Headers[0].Value) != dc {
			s.t.Fatalf("record %d has headers %v, want dc %s", next, r.Headers, dc)
		}
		next++
	}
	if next != n {
		s.t.Fatalf("%d records in partition %d, want %d", next, p, n)
	}
}

// Batches of producers that name the data centre go on as they are, whatever they are
// compressed with.
func TestBatchesAreRelayedUnopened(t *testing.T) {
	each(t, func(t *testing.T, delivery string) {
		s := newSite(t, 1)
		s.cfg.Aggregator.Delivery, s.cfg.Aggregator.JoinBelow = delivery, 0
		n := 0
		for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.GzipCompression()} {
			write := s.writer(kgo.ProducerBatchCompression(codec))
			for range 3 + i {
				write(labelled(1, n, 50, true)...)
				n += 50
			}
		}
		stop := s.run()
		s.wantRelayed(1, n, "east")
		s.await("all is out", func() bool { return s.figure("aggregator_out_events_total") == float64(n) })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		from, to := payloads(s.batches("dc1", 1)), payloads(s.batches("central", 1))
		if len(from) != len(to) || len(from) < 5 {
			t.Fatalf("%d batches became %d", len(from), len(to))
		}
		for i := range from {
			if !bytes.Equal(from[i], to[i]) {
				t.Errorf("batch %d is not what it was", i)
			}
		}
		s.wantFigures(float64(n), float64(n), 0, 0, 0)
		if opened := s.figure("aggregator_opened_events_total"); opened != 0 {
			t.Errorf("%v events were opened", opened)
		}
	})
}

// What may lack the dc header is opened, and gets it.
func TestBatchesWithoutDCAreOpened(t *testing.T) {
	each(t, func(t *testing.T, delivery string) {
		for name, o := range map[string]kgo.Opt{"of anybody": kgo.DisableIdempotentWrite(), "of a producer": kgo.ProducerLinger(0)} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t, 1)
				s.cfg.Aggregator.Delivery, s.cfg.Aggregator.JoinBelow = delivery, 0
				write := s.writer(o)
				for i := range 5 {
					write(labelled(2, 100*i, 100, false)...)
				}
				stop := s.run()
				s.wantRelayed(2, 500, "dc1")
				s.await("all is out", func() bool { return s.figure("aggregator_out_events_total") == 500 })
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if opened := s.figure("aggregator_opened_events_total"); opened != 500 {
					t.Errorf("%v events were opened, want 500", opened)
				}
			})
		}
	})
}

// A producer that set the header and does not any more is found out by a sample.
func TestProducerThatStopsToNameTheDC(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.cfg.Aggregator.JoinBelow = 0
	write := s.writer(kgo.ProducerLinger(0))
	const before = sampleEvery - 1
	for i := range before {
		write(labelled(0, i, 1, true)...)
	}
	for i := range 3 {
		write(labelled(0, before+i, 1, false)...)
	}
	stop := s.run()
	s.await("all are out", func() bool { return s.figure("aggregator_out_events_total") == before+3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := s.figure("aggregator_unlabelled_events_total"); n != 1 {
		t.Errorf("%v events without the header were counted, want 1", n)
	}
	for _, r := range s.take("central", "logs", before+3)[before:] {
		if len(r.Headers) != 1 || string(r.Headers[0].Value) != "dc1" {
			t.Errorf("record %.8s has headers %v", r.Value, r.Headers)
		}
	}
}

// Many small batches become few.
func TestSmallBatchesAreJoined(t *testing.T) {
	each(t, func(t *testing.T, delivery string) {
		s := newSite(t, 1)
		s.cfg.Aggregator.Delivery = delivery
		s.cfg.Aggregator.Produce.Linger = config.Duration(20 * time.Millisecond)
		write := s.writer(kgo.ProducerLinger(0))
		for i := range 400 {
			write(labelled(1, 2*i, 2, true)...)
		}
		stop := s.run()
		s.wantRelayed(1, 800, "east")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if from, to := payloads(s.batches("dc1", 1)), payloads(s.batches("central", 1)); len(from) < 300 || len(to) > len(from)/10 {
			t.Errorf("%d batches became %d, want a tenth at most", len(from), len(to))
		}
	})
}

// A batch that is larger than the target takes goes on in pieces, in order.
func TestBatchThatIsTooLargeIsSplit(t *testing.T) {
	each(t, func(t *testing.T, delivery string) {
		s := newSite(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "4000"}))
		s.cfg.Aggregator.Delivery, s.cfg.Aggregator.JoinBelow = delivery, 0
		write := s.writer(kgo.ProducerBatchCompression(kgo.NoCompression()))
		for i := range 5 {
			write(labelled(0, 200*i, 200, true)...)
		}
		stop := s.run()
		s.wantRelayed(0, 1000, "east")
		s.await("all is out", func() bool { return s.figure("aggregator_out_events_total") == 1000 })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s.wantSum()
		if n := s.committed("dc1"); n != 1000 {
			t.Errorf("committed up to %d at the source, want 1000", n)
		}
	})
}

// Members are killed at any moment, as often as there is time: who reads what is committed
// has each record once, in the order of its partition.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, kfake.GroupMinSessionTimeout(time.Second))
	a := &s.cfg.Aggregator
	a.Delivery, a.JoinBelow, a.Lanes = config.ExactlyOnce, 700, 3 // small batches are opened, others are not
	a.Consume.SessionTimeout = config.Duration(time.Second)
	s.cfg.ShutdownTimeout = config.Duration(100 * time.Millisecond)
	const kills, each = 10, 500
	write := s.writer()
	fed := 0
	feed := func() {
		for p := range int32(4) {
			for i := 0; i < each; {
				n := min(1+rand.IntN(40), each-i)
				rs := labelled(p, fed+i, n, true)
				for _, r := range rs {
					r.Key = fmt.Append(nil, p)
				}
				write(rs...)
				i += n
			}
		}
		fed += each
	}
	for range kills {
		feed()
		before := s.stored("central", "logs")
		stop := s.run()
		s.await("something is stored", func() bool { return s.stored("central", "logs") > before })
		time.Sleep(time.Duration(rand.N(150)) * time.Millisecond) // anywhere in a transaction
		s.gates["dc1"].set(true)                                  // nothing is said any more
		s.gates["central"].set(true)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s.gates["dc1"].set(false)
		s.gates["central"].set(false)
	}
	s.cfg.ShutdownTimeout = config.Duration(10 * time.Second)
	stop := s.run()
	s.await("all is committed", func() bool { return s.committed("dc1") >= int64(4*fed) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// Partitions 0 and 3 of the source go to partition 0, and are told apart by their key.
	next := map[string]int{}
	for _, r := range s.take("central", "logs", 4*fed) {
		from := string(r.Key)
		if !strings.HasPrefix(string(r.Value), fmt.Sprintf("%08d ", next[from])) {
			t.Fatalf("after %d records of partition %s comes %.8s\n%s", next[from], from, r.Value, &s.log)
		}
		next[from]++
	}
	for p := range 4 {
		if n := next[fmt.Sprint(p)]; n != fed {
			t.Errorf("%d records of partition %d, want %d", n, p, fed)
		}
	}
}
