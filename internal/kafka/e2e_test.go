//go:build linux && e2e

package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/retry"
	"github.com/sluicelog/sluice/test/servers"
)

// The same promises against Apache Kafka itself, three nodes of it, which are killed,
// frozen and started again while we write and read.

func realKafka(t *testing.T, o servers.KafkaOptions) *servers.KafkaCluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	o.Brief = true
	k, err := servers.StartKafka(ctx, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Kill() }) // nodes that stop together wait for the majority that is gone
	return k
}

func realCluster(t *testing.T, addrs []string) *Cluster {
	c := clusterAt(t, addrs...)
	c.timing.answer = 5 * time.Second
	c.timing.backoff = retry.Backoff{First: 20 * time.Millisecond, Longest: time.Second}
	return c
}

func longDrain(t *testing.T, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited two minutes in vain: %s", what)
		}
	}
}

func TestRealKafka(t *testing.T) {
	k := realKafka(t, servers.KafkaOptions{Nodes: 3, Heap: "384m", Properties: []string{"min.insync.replicas=2", "replica.lag.time.max.ms=2000"}})
	c := realCluster(t, k.Brokers)

	t.Run("codecs and limits", func(t *testing.T) {
		for _, codec := range []string{"none", "lz4", "zstd", "snappy", "gzip"} {
			topic := "codec-" + codec
			if err := EnsureTopic(t.Context(), c, topic, 3, 3); err != nil {
				t.Fatal(err)
			}
			o := produceOptions()
			o.Compression, o.BatchBytes = codec, 4<<20
			s := newSink(t)
			p := newTestProducer(t, c, o, s)
			f := newFeeder(t, p)
			for i := range 20_000 {
				f.add(topic, int32(i%3), 300)
			}
			longDrain(t, p)
			if acked, refused := s.counts(); acked != 20_000 || refused != 0 {
				t.Errorf("%s: acked %d, refused %d, want 20000, 0", codec, acked, refused)
			}
			f.wantStored(k.Brokers)
		}
		// The broker takes 1 MiB: batches of 8 MiB are sent in parts, and the one record that
		// is too large by itself comes back alone.
		const large = 6789
		if err := EnsureTopic(t.Context(), c, "large", 1, 3); err != nil {
			t.Fatal(err)
		}
		o := produceOptions()
		o.Compression, o.BatchBytes, o.BatchRecords, o.Buffer = "none", 8<<20, 100_000, 64<<20
		s := newSink(t)
		p := newTestProducer(t, c, o, s)
		f := newFeeder(t, p)
		for i := range 10_000 {
			size := 1000
			if i == large {
				size = 2 << 20
			}
			f.add("large", 0, size)
		}
		longDrain(t, p)
		if acked, refused := s.counts(); acked != 9999 || refused != 1 || !errors.Is(s.refused[0], ErrTooLarge) {
			t.Errorf("acked %d, refused %v, want 9999 and one %v", acked, s.refused, ErrTooLarge)
		}
		f.wantStored(k.Brokers, large)
	})

	t.Run("nodes are killed and frozen", func(t *testing.T) {
		if err := EnsureTopic(t.Context(), c, "killed", 6, 3); err != nil {
			t.Fatal(err)
		}
		s := newSink(t)
		o := produceOptions()
		o.BatchBytes = 20_000
		p := newTestProducer(t, c, o, s)
		f := newFeeder(t, p)
		r := newRecorder(t)
		g := groupOptions("killed")
		_, leave := join(t, c, g, r)
		feed := func(n int) {
			for range n {
				for i := range int32(6) {
					f.add("killed", i, 200)
				}
				time.Sleep(time.Millisecond)
			}
		}
		feed(200)
		for i := range 3 {
			var err error
			if i == 1 {
				err = k.Nodes[i].Pause() // the connection stays, nothing answers
			} else {
				err = k.Nodes[i].Kill()
			}
			if err != nil {
				t.Fatal(err)
			}
			feed(2000)
			if i == 1 {
				err = k.Nodes[i].Resume()
			} else {
				err = k.Nodes[i].Restart(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			feed(500)
		}
		longDrain(t, p)
		total := 6 * (200 + 3*2500)
		if acked, refused := s.counts(); acked != total || refused != 0 {
			t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, total)
		}
		f.wantStored(k.Brokers)
		soon(t, "the group has seen all", func() bool { return r.seen() == total })
		leave()
		again := 0
		for _, n := range r.values {
			again += n - 1
		}
		t.Logf("%d records, %d of them read again", total, again)
		for i, o := range committed(t, k.Brokers, "g", "killed", 6) {
			if o != int64(total/6) {
				t.Errorf("partition %d: committed %d, want %d", i, o, total/6)
			}
		}
	})

	t.Run("transactions", func(t *testing.T) {
		if err := EnsureTopic(t.Context(), c, "txn", 3, 3); err != nil {
			t.Fatal(err)
		}
		make := func() (*Producer, *feeder) {
			o := produceOptions()
			o.TransactionalID = "agg-src-3"
			p := newTestProducer(t, c, o, nil)
			return p, newFeeder(t, p)
		}
		p, f := make()
		last := map[string]int64{}
		for round := range int64(60) {
			at, err := p.Committed(t.Context(), "agg-src-3", "txn", 0)
			if err != nil || at != max(round, 0) && !(round == 0 && at == -1) {
				t.Fatalf("round %d: committed %d, %v", round, at, err)
			}
			for {
				for k := range f.next {
					f.next[k] = last[k]
				}
				if err := p.Begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				for range 50 {
					for i := range int32(3) {
						f.add("txn", i, 100)
					}
				}
				switch round {
				case 20:
					if err := k.Nodes[int(round/20)%3].Kill(); err != nil {
						t.Fatal(err)
					}
				case 30:
					if err := k.Nodes[1].Restart(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := p.SendOffset("agg-src-3", "txn", 0, round+1, ""); err != nil {
					t.Fatal(err)
				}
				if round%7 == 3 { // a crash
					p.Close()
					next := f.next
					p, f = make()
					f.next = next
					at, err := p.Committed(t.Context(), "agg-src-3", "txn", 0)
					if err != nil || at != round {
						t.Fatalf("round %d after a crash: committed %d, %v", round, at, err)
					}
					for k := range f.next {
						f.next[k] = last[k]
					}
					if err := p.Begin(t.Context()); err != nil {
						t.Fatal(err)
					}
					for range 50 {
						for i := range int32(3) {
							f.add("txn", i, 100)
						}
					}
					if err := p.SendOffset("agg-src-3", "txn", 0, round+1, ""); err != nil {
						t.Fatal(err)
					}
				}
				err := p.Commit(t.Context())
				if err == nil {
					break
				}
				t.Logf("round %d: %v", round, err)
				switch {
				case errors.Is(err, ErrFenced):
					next := f.next
					p.Close()
					p, f = make()
					f.next = next
				case errors.Is(err, ErrAborted):
					if err := p.Abort(t.Context()); err != nil {
						t.Fatal(err)
					}
				default:
					t.Fatal(err)
				}
			}
			for k, n := range f.next {
				last[k] = n
			}
		}
		f.wantStored(k.Brokers)

		_, g := make() // fences
		g.begin()
		if err := p.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.add("txn", 0, 10)
		err := p.Commit(t.Context())
		if errors.Is(err, ErrAborted) {
			err = p.Abort(t.Context())
		}
		if !errors.Is(err, ErrFenced) {
			t.Errorf("the older producer's end = %v, want %v", err, ErrFenced)
		}
	})

	t.Run("members with names", func(t *testing.T) {
		for name, play := range map[string]func(*testing.T, []string, waiting){"killedMember": killedMember, "stoppedMember": stoppedMember, "copiedName": copiedName} {
			if err := EnsureTopic(t.Context(), c, name, 6, 3); err != nil {
				t.Fatal(err)
			}
			t.Run(name, func(t *testing.T) { play(t, k.Brokers, soon) })
		}
	})

	t.Run("a topic is made anew", func(t *testing.T) {
		if err := EnsureTopic(t.Context(), c, "logs", 1, 3); err != nil {
			t.Fatal(err)
		}
		topicMadeAnew(t, c, k.Brokers, soon)
	})

	t.Run("what reading waits for", func(t *testing.T) {
		start := time.Now()
		a, b := newRecorder(t), newRecorder(t)
		o := groupOptions("killed")
		o.Group = "g2"
		_, leaveA := join(t, c, o, a)
		soon(t, "first record", func() bool { return a.seen() > 0 })
		t.Logf("first record after %v", time.Since(start))
		start = time.Now()
		_, leaveB := join(t, c, o, b)
		soon(t, "partitions of the second member", func() bool { return b.claims() == 3 })
		t.Logf("second member has its partitions after %v", time.Since(start))
		start = time.Now()
		leaveB()
		t.Logf("leaving took %v", time.Since(start))
		leaveA()
	})
}
