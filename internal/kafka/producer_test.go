package kafka

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
)

// What is appended is stored as it was, with every codec, over several partitions and
// brokers, in order and with one callback a record.
func TestEveryCodec(t *testing.T) {
	for _, codec := range []string{"none", "lz4", "zstd", "snappy", "gzip"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(5, "logs"))
			o := produceOptions()
			o.Compression = codec
			o.BatchBytes = 20_000
			s := newSink(t)
			p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
			if n, err := p.Partitions(t.Context(), "logs"); n != 5 || err != nil {
				t.Fatalf("partitions = %d, %v, want 5", n, err)
			}
			f := newFeeder(t, p)
			for i := range 5000 {
				f.add("logs", int32(i%5), 100)
			}
			drain(t, p)
			if acked, refused := s.counts(); acked != 5000 || refused != 0 {
				t.Errorf("acked %d, refused %d, want 5000, 0", acked, refused)
			}
			f.wantStored(k.ListenAddrs())
		})
	}
}

// steady feeds records while something is done to the cluster, then checks that all
// of them are stored once and in order.
func steady(t *testing.T, c *Cluster, addrs []string, o ProducerOptions, topic string, partitions, each int, during func(round int)) {
	t.Helper()
	s := newSink(t)
	p := newTestProducer(t, c, o, s)
	f := newFeeder(t, p)
	for round := range 10 {
		if during != nil {
			during(round)
		}
		for range each / 10 {
			for i := range partitions {
				f.add(topic, int32(i), 100)
			}
		}
		if round%3 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	drain(t, p)
	if acked, refused := s.counts(); acked != partitions*each || refused != 0 {
		t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, partitions*each)
	}
	f.wantStored(addrs)
}

// Nothing is lost, doubled or reordered whatever a broker answers.
func TestRetriedAnswers(t *testing.T) {
	for _, e := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
		kerr.NetworkException, kerr.KafkaStorageError, kerr.UnknownServerError, kerr.CorruptMessage, kerr.UnknownTopicOrPartition,
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.ThrottlingQuotaExceeded, kerr.PolicyViolation,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch,
	} {
		t.Run(e.Message, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "logs"))
			c := clusterAt(t, k.ListenAddrs()...)
			o := produceOptions()
			o.BatchBytes = 5000
			steady(t, c, k.ListenAddrs(), o, "logs", 3, 600, func(round int) {
				k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: e, Count: 2})
			})
		})
	}
}

// Nothing is lost, doubled or reordered when connections are cut before the request
// arrives, after it was acted on, or when its answer never comes.
func TestLostConnections(t *testing.T) {
	for name, f := range map[string]fate{"request": lose, "answer": loseAnswer, "silence": mute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNetwork()
			k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "logs"), kfake.ListenFn(w.listen))
			c := clusterAt(t, k.ListenAddrs()...)
			most := int64(8)
			c.timing.answer = 2 * time.Second // longer than a busy machine takes
			if f == mute {
				c.timing.answer, most = time.Second, 4 // each is waited for
			}
			var seen, hit atomic.Int64
			w.set(func(key int16) fate {
				if key == int16(kmsg.Produce) && seen.Add(1)%4 == 0 && hit.Load() < most {
					hit.Add(1)
					return f
				}
				return pass
			})
			o := produceOptions()
			o.BatchBytes = 5000
			steady(t, c, k.ListenAddrs(), o, "logs", 3, 1000, nil)
			if hit.Load() < 3 {
				t.Errorf("%d requests were hit, want some", hit.Load())
			}
		})
	}
}

// A partition is followed to its new leader, and brokers that go away are left.
func TestLeadersMove(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "logs"))
	o := produceOptions()
	o.BatchBytes = 5000
	steady(t, clusterAt(t, k.ListenAddrs()...), k.ListenAddrs(), o, "logs", 4, 2000, func(round int) {
		for i := range int32(4) {
			if err := k.MoveTopicPartition("logs", i, (int32(round)+i)%3); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestNodeRemoved(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "logs"))
	addrs := k.ListenAddrs()
	o := produceOptions()
	o.BatchBytes = 5000
	steady(t, clusterAt(t, addrs...), addrs, o, "logs", 4, 2000, func(round int) {
		switch round {
		case 3:
			if err := k.RemoveNode(2); err != nil {
				t.Error(err)
			}
		case 6:
			if _, _, err := k.AddNode(7, 0); err != nil {
				t.Error(err)
			}
			k.ShufflePartitionLeaders()
		}
	})
}

// Starting and running without a cluster: Append waits once the buffer is full, and
// all arrives when the cluster is there.
func TestMemoryIsBoundedInAnOutage(t *testing.T) {
	t.Parallel()
	w := newNetwork()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "logs"), kfake.ListenFn(w.listen))
	w.cut(true)
	c := clusterAt(t, k.ListenAddrs()...)
	o := produceOptions()
	o.Buffer, o.Compression = 100_000, "none" // what compression frees would be filled again
	o.BatchBytes = 5000
	s := newSink(t)
	p := newTestProducer(t, c, o, s)
	f := newFeeder(t, p)
	var most atomic.Int64
	var enough atomic.Bool
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for !enough.Load() {
			for i := range int32(3) {
				f.add("logs", i, 100)
				most.Store(max(most.Load(), p.InFlight()))
			}
		}
	}()
	full := func() bool { return p.InFlight() > 99_000 }
	eventually(t, "a full buffer", full)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Append(ctx, "logs", 0, Record{Value: make([]byte, 1000)}, Tag{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append to a full buffer = %v, want %v", err, context.DeadlineExceeded)
	}
	eventually(t, "the outage is told", func() bool {
		down, err := c.Health.Down()
		return down > 0 && err != nil
	})
	w.cut(false)
	eventually(t, "the first acknowledged", func() bool { a, _ := s.counts(); return a > 1000 })
	w.cut(true)
	eventually(t, "a full buffer in the second outage", full)
	enough.Store(true)
	w.cut(false)
	<-fed
	drain(t, p)
	if m := most.Load(); m > 100_000 {
		t.Errorf("held %d bytes, want at most 100000", m)
	}
	eventually(t, "the end of the outage is told", func() bool { down, _ := c.Health.Down(); return down == 0 })
	f.wantStored(k.ListenAddrs())
}

// Batches larger than the broker takes are sent in parts; a record that is too large
// by itself is handed back alone, and those around it are stored in order.
func TestTooLargeIsSplit(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	o := produceOptions()
	o.Compression = "none"
	o.BatchBytes, o.BatchRecords, o.Buffer = 8<<20, 100_000, 64<<20
	o.Linger = config.Duration(50 * time.Millisecond)
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
	f := newFeeder(t, p)
	for i := range 10_000 {
		if i == 6789 {
			f.add("logs", 0, 2<<20)
			continue
		}
		f.add("logs", 0, 1000)
	}
	drain(t, p)
	if acked, refused := s.counts(); acked != 9999 || refused != 1 {
		t.Fatalf("acked %d, refused %d, want 9999, 1", acked, refused)
	}
	if !errors.Is(s.refused[0], ErrTooLarge) {
		t.Errorf("refused with %v, want %v", s.refused[0], ErrTooLarge)
	}
	f.wantStored(k.ListenAddrs(), 6789)
}

// A record larger than the whole buffer passes alone.
func TestRecordLargerThanBuffer(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	o := produceOptions()
	o.Buffer = 10_000
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, nil)
	f := newFeeder(t, p)
	for i := range 30 {
		f.add("logs", 0, 100)
		if i%10 == 5 {
			f.add("logs", 0, 50_000)
		}
	}
	drain(t, p)
	f.wantStored(k.ListenAddrs())
}

// A topic that does not exist holds up no other, is told, and gets its records when
// it is created.
func TestUnknownTopicWaits(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	s := newSink(t)
	p := newTestProducer(t, c, produceOptions(), s)
	f := newFeeder(t, p)
	for range 100 {
		f.add("later", 0, 100)
		f.add("logs", 0, 100)
		f.add("logs", 5, 100) // no such partition yet
	}
	eventually(t, "the records of the topic that exists", func() bool { a, _ := s.counts(); return a == 100 })
	eventually(t, "trouble is told", func() bool { d, _ := c.Health.Down(); return d > 0 })
	if err := EnsureTopic(t.Context(), c, "later", 3, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the records of the new topic", func() bool { a, _ := s.counts(); return a == 200 })
	growTopic(t, k.ListenAddrs(), "logs", 6)
	drain(t, p)
	if n, err := p.Partitions(t.Context(), "later"); n != 3 || err != nil {
		t.Errorf("partitions = %d, %v, want 3", n, err)
	}
	if down, err := c.Health.Down(); down != 0 {
		t.Errorf("health = %v, %v, want ok", down, err)
	}
	f.wantStored(k.ListenAddrs())
}

// Who waits for the partitions of a topic that cannot be used, with nothing written yet,
// is told why: once, by topic, and by health; and that it is over.
func TestPartitionsOfNoTopic(t *testing.T) {
	for name, deny := range map[string]bool{"missing": false, "denied": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.NumBrokers(2))
			c, said := clusterAt(t, k.ListenAddrs()...), &spoken{}
			c.Log = slog.New(slog.NewTextHandler(said, nil))
			allow := func() {
				if err := EnsureTopic(t.Context(), clusterAt(t, k.ListenAddrs()...), "logs", 3, 1); err != nil {
					t.Error(err)
				}
			}
			if deny {
				allow()
				allow = k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "logs", Err: kerr.TopicAuthorizationFailed, Count: -1}).Remove
			}
			p := newTestProducer(t, c, produceOptions(), nil)
			known := make(chan int32)
			go func() {
				n, _ := p.Partitions(t.Context(), "logs")
				known <- n
			}()
			eventually(t, "the topic in health", func() bool {
				_, err := c.Health.Down()
				return err != nil && strings.Contains(err.Error(), "topic logs: ")
			})
			time.Sleep(300 * time.Millisecond) // some tries
			if got := said.take(); len(got) != 1 || !strings.Contains(got[0], "topic=logs") || !strings.Contains(got[0], "level=WARN") {
				t.Errorf("logged %q, want one warning that names the topic", got)
			}
			if down, err := c.Health.Down(); down == 0 {
				t.Errorf("health = ok (%v) while the topic cannot be used", err)
			}
			allow()
			if n := <-known; n != 3 {
				t.Errorf("partitions = %d, want 3", n)
			}
			eventually(t, "health", func() bool { down, _ := c.Health.Down(); return down == 0 })
			if got := said.take(); len(got) != 1 || !strings.Contains(got[0], "topic=logs") || !strings.Contains(got[0], "level=INFO") {
				t.Errorf("logged %q, want one line that says that it is over", got)
			}
		})
	}
}

// A topic that may not be created is tried for until it may; a name that no topic can
// have is not.
func TestEnsureTopic(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2))
	c, said := clusterAt(t, k.ListenAddrs()...), &spoken{}
	c.Log = slog.New(slog.NewTextHandler(said, nil))
	for _, e := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.PolicyViolation, kerr.NotController, kerr.InvalidReplicationFactor} {
		h := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: e, Count: 3})
		if err := EnsureTopic(t.Context(), c, "logs-"+e.Message, 2, 1); err != nil {
			t.Errorf("%s: %v", e.Message, err)
		}
		if h.Hits() != 3 {
			t.Errorf("%s: refused %d times, want 3", e.Message, h.Hits())
		}
	}
	if got := said.take(); len(got) != 2 || !strings.Contains(got[0], "not authorized") {
		t.Errorf("logged %q, want the two refusals an operator has to mend, once each", got)
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.InvalidTopicException})
	if err := EnsureTopic(t.Context(), c, "no topic", 1, 1); err == nil {
		t.Error("a name that no topic can have is no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	if err := EnsureTopic(ctx, c, "never", 1, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a topic that is never allowed: %v, want %v", err, context.DeadlineExceeded)
	}
}

// A topic that is waited for and may not be created is there as soon as creating it is
// allowed, or somebody else makes it.
func TestTopicAllowedLater(t *testing.T) {
	for name, allow := range map[string]bool{"allowed": true, "made": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.NumBrokers(2), kfake.DefaultNumPartitions(3))
			c, said := clusterAt(t, k.ListenAddrs()...), &spoken{}
			c.Log = slog.New(slog.NewTextHandler(said, nil))
			h := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
			p := newTestProducer(t, c, produceOptions(), nil)
			got := make(chan int32)
			go func() {
				n, _ := p.Ensure(t.Context(), "dead")
				got <- n
			}()
			eventually(t, "some tries", func() bool { return h.Hits() > 3 })
			if n := strings.Count(strings.Join(said.take(), "\n"), "cannot create topic"); n != 1 {
				t.Errorf("told %d times, want once", n)
			}
			if allow {
				h.Remove()
			} else if err := k.CreateTopic("dead", 3, nil); err != nil {
				t.Fatal(err)
			}
			if n := <-got; n != 3 {
				t.Errorf("partitions = %d, want 3", n)
			}
			asked := h.Hits()
			if n, err := p.Ensure(t.Context(), "dead"); n != 3 || err != nil || h.Hits() != asked {
				t.Errorf("once more = %d, %v, want 3 without asking", n, err)
			}
		})
	}
}

// Who waits for a topic can stop at once, also while a broker is silent.
func TestTopicOfSilentBroker(t *testing.T) {
	t.Parallel()
	c := clusterAt(t, newDeaf(t))
	c.timing.answer = time.Minute
	p := newTestProducer(t, c, produceOptions(), nil)
	f := func(ensure func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := ensure(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("%v after %v, want %v", err, time.Since(began), context.DeadlineExceeded)
		}
	}
	f(func(ctx context.Context) error { return EnsureTopic(ctx, c, "dead", 1, 1) })
	f(func(ctx context.Context) error { _, err := p.Ensure(ctx, "dead"); return err })
}

// newDeaf is an address where connections are taken and nothing is ever said.
func newDeaf(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// growTopic gives a topic more partitions.
func growTopic(t testing.TB, addrs []string, topic string, partitions int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, partitions
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("add partitions: %v, %v", err, resp)
	}
}

// deleteTopic deletes a topic.
func deleteTopic(t testing.TB, addrs []string, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.Topics = []string{topic}, append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("delete topic: %v, %v", err, resp)
	}
}

// A topic that is deleted and created anew under the producer takes what comes after.
func TestTopicRecreated(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	s := newSink(t)
	p := newTestProducer(t, c, produceOptions(), s)
	f := newFeeder(t, p)
	for range 100 {
		f.add("logs", 0, 100)
	}
	drain(t, p)
	deleteTopic(t, k.ListenAddrs(), "logs")
	s.mu.Lock()
	clear(s.offsets)
	s.mu.Unlock()
	for range 100 {
		f.add("logs", 0, 100)
	}
	time.Sleep(20 * time.Millisecond)
	if err := EnsureTopic(t.Context(), c, "logs", 2, 1); err != nil {
		t.Fatal(err)
	}
	drain(t, p)
	if got := len(stored(t, k.ListenAddrs(), "logs")[0]); got != 100 {
		t.Errorf("new topic holds %d records, want 100", got)
	}
}

// Drain says how many are left, Close gives them up, and nobody waits for ever.
func TestDrainAndCloseWithoutCluster(t *testing.T) {
	t.Parallel()
	c := clusterAt(t, unusedAddr(t))
	o := produceOptions()
	o.Buffer, o.Compression = 10_000, "none"
	s := newSink(t)
	p := newTestProducer(t, c, o, s)
	f := newFeeder(t, p)
	for range 10 {
		f.add("logs", 0, 100)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain = %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := p.Partitions(ctx, "logs"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("partitions = %v, want %v", err, context.DeadlineExceeded)
	}
	blocked := make(chan error)
	go func() { blocked <- p.Append(context.Background(), "logs", 0, Record{Value: make([]byte, 9000)}, Tag{}) }()
	drained := make(chan error)
	go func() { drained <- p.Drain(context.Background()) }()
	time.Sleep(10 * time.Millisecond)
	p.Close()
	if err := <-blocked; !errors.Is(err, ErrClosed) {
		t.Errorf("blocked append = %v, want %v", err, ErrClosed)
	}
	if err := <-drained; !errors.Is(err, ErrClosed) {
		t.Errorf("drain = %v, want %v", err, ErrClosed)
	}
	if err := p.Append(t.Context(), "logs", 0, Record{}, Tag{}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close = %v, want %v", err, ErrClosed)
	}
	if acked, refused := s.counts(); acked+refused != 0 {
		t.Errorf("%d callbacks, want none", acked+refused)
	}
}

// Close does not wait for a broker that has fallen silent.
func TestCloseWithSilentBroker(t *testing.T) {
	t.Parallel()
	w := newNetwork()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"), kfake.ListenFn(w.listen))
	c := clusterAt(t, k.ListenAddrs()...)
	c.timing.answer = time.Minute
	p := newTestProducer(t, c, produceOptions(), nil)
	var muted atomic.Int64
	w.set(func(key int16) fate {
		if key == int16(kmsg.Produce) {
			muted.Add(1)
			return mute
		}
		return pass
	})
	newFeeder(t, p).add("logs", 0, 100)
	eventually(t, "a request without answer", func() bool { return muted.Load() > 0 })
	closed := make(chan struct{})
	go func() {
		p.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("close still waits for the broker")
	}
}

// A record that was stored although its answer said nothing, and is refused when it
// is sent again, does not make the broker take the next one for its copy.
func TestRefusedAfterMaybeStored(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	k.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord},
	)
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), produceOptions(), s)
	f := newFeeder(t, p)
	f.add("logs", 0, 10)
	drain(t, p)
	f.add("logs", 0, 10)
	drain(t, p)
	if acked, refused := s.counts(); acked != 1 || refused != 1 || !errors.Is(s.refused[0], ErrInvalidRecord) {
		t.Errorf("acked %d, refused %v, want 1 and one %v", acked, s.refused, ErrInvalidRecord)
	}
	if got := stored(t, k.ListenAddrs(), "logs")[0]; len(got) != 2 || string(got[1].Value[:2]) != "1:" {
		t.Errorf("stored %d records, want 2, the last one number 1", len(got))
	}
}

// Only the record that the broker refuses comes back; its neighbours are stored.
func TestInvalidRecordIsFound(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	bad := func(r kmsg.Request) bool {
		for _, rt := range r.(*kmsg.ProduceRequest).Topics {
			for _, rp := range rt.Partitions {
				if bytes.Contains(rp.Records, []byte("17:")) {
					return true
				}
			}
		}
		return false
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, When: bad})
	o := produceOptions()
	o.Compression = "none"
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
	f := newFeeder(t, p)
	for range 100 {
		f.add("logs", 0, 10)
	}
	drain(t, p)
	if acked, refused := s.counts(); acked != 99 || refused != 1 || !errors.Is(s.refused[0], ErrInvalidRecord) {
		t.Errorf("acked %d, refused %v, want 99 and one %v", acked, s.refused, ErrInvalidRecord)
	}
	f.wantStored(k.ListenAddrs(), 17)
}

// Records for a topic that can never exist come back one by one.
func TestInvalidTopic(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "no topic", Err: kerr.InvalidTopicException, Count: -1})
	o := produceOptions()
	o.BatchRecords = 10
	s := newSink(t)
	p := newTestProducer(t, clusterAt(t, k.ListenAddrs()...), o, s)
	f := newFeeder(t, p)
	for range 55 {
		f.add("no topic", 0, 10)
		f.add("logs", 0, 10)
	}
	drain(t, p)
	if acked, refused := s.counts(); acked != 55 || refused != 55 || !errors.Is(s.refused[0], ErrInvalidRecord) {
		t.Errorf("acked %d, refused %d, want 55 each with %v", acked, refused, ErrInvalidRecord)
	}
}
