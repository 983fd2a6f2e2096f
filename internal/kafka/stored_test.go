package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// carrier takes batches, opens them late and out of order, and finishes them then.
type carrier struct {
	*recorder

	mu     sync.Mutex
	values map[string]map[int64]string // by partition and offset
	late   map[*Claim][]Stored
	opened atomic.Int64
	work   sync.WaitGroup
}

func newCarrier(t testing.TB) *carrier {
	return &carrier{recorder: newRecorder(t), values: map[string]map[int64]string{}, late: map[*Claim][]Stored{}}
}

func (r *carrier) Takes(*Claim, *Stored) bool { return true }

func (r *carrier) Stored(ctx context.Context, c *Claim, s *Stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := *s
	mine := append(r.late[c], b)
	if r.late[c] = mine; len(mine)%3 > 0 && b.LastOffset()+2 < c.HighWatermark() { // the end may be that of a transaction
		return
	}
	delete(r.late, c)
	slices.Reverse(mine)
	r.work.Go(func() {
		for _, b := range mine {
			wire.Readdress(b.Bytes, wire.Identity{Producer: 7, Epoch: 1, Sequence: 9}, true) // its header is ours
			if _, err := wire.ReadHeader(b.Bytes); err != nil {
				r.t.Error(err)
			}
			err := b.Records(1<<20, func(v *View) error {
				r.put(c, b.BaseOffset+v.Offset, string(v.Value))
				return nil
			})
			if err != nil {
				r.t.Errorf("batch at %d: %v", b.BaseOffset, err)
			}
			c.DoneAll(b.BaseOffset, b.LastOffset()+1)
		}
	})
}

func (r *carrier) Views(_ context.Context, c *Claim, views []View) {
	r.opened.Add(int64(len(views)))
	for i := range views {
		r.put(c, views[i].Offset, string(views[i].Value))
	}
	c.DoneAll(views[0].Offset, views[len(views)-1].Offset+1)
}

func (r *carrier) put(c *Claim, offset int64, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values[key(c)] == nil {
		r.values[key(c)] = map[int64]string{}
	}
	r.values[key(c)][offset] = value
}

func (r *carrier) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.values {
		n += len(p)
	}
	return n
}

// Batches come as they are stored, those of aborted transactions left out, from the
// committed offset on though it is inside of one, and their memory is theirs until they
// are finished.
func TestStoredBatches(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	const each = 2000
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		for n := range 10 {
			produce(t, k.ListenAddrs(), "logs", int32(i), numbered(n*each/10, each/10, 300), kgo.ProducerBatchCompression(codec))
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 6 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		cl.Produce(t.Context(), &kgo.Record{Topic: "logs", Partition: 3, Value: fmt.Append(nil, i)}, nil)
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TransactionEndTry(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	o := groupOptions("logs")
	o.Buffer = 1 << 20
	commitOffset(t, k.ListenAddrs(), o.Group, "logs", 77) // of partition 0
	r := newCarrier(t)
	g, leave := join(t, c, o, r)
	eventually(t, "all records", func() bool { return r.count() == 3*each-77+3 })
	eventually(t, "all is committed", func() bool {
		return slices.Equal(committed(t, k.ListenAddrs(), o.Group, "logs", 4), []int64{each, each, each, 12})
	})
	if held := g.held.Load(); held != 0 {
		t.Errorf("%d bytes are held of what is finished", held)
	}
	leave()
	r.work.Wait()
	for i := range 3 {
		want := numbered(0, each, 300)
		for o, v := range r.values[fmt.Sprint("logs/", i)] {
			if v != want[o] {
				t.Fatalf("partition %d: %.20s at %d", i, v, o)
			}
		}
	}
	if got := r.values["logs/3"]; got[0] != "0" || got[4] != "2" || got[8] != "4" {
		t.Errorf("of the transactions came %v", got)
	}
	if r.values["logs/0"][76] != "" || r.values["logs/0"][77] == "" {
		t.Error("does not begin at the committed offset")
	}
	if n := r.opened.Load(); n != each/10-77 {
		t.Errorf("%d records were opened, want those of the batch in which reading begins", n)
	}
}

// A damaged batch that would be taken unopened becomes a dead letter, as one that is read.
func TestStoredPoison(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	for i := range 3 {
		produce(t, k.ListenAddrs(), "logs", 0, numbered(i*10, 10, 50))
	}
	bad := bytes.Clone(rawFetch(t, c, k.ListenAddrs()[0], "logs"))
	first, _, err := wire.Cut(bad)
	if err != nil {
		t.Fatal(err)
	}
	bad[len(first)+wire.HeaderSize+9] ^= 1
	damage(k, 0, bad)
	o := groupOptions("logs")
	o.Poison = "dead_letter"
	var got []Poison
	o.Poisoned = func(_ context.Context, p Poison) error {
		got = append(got, p)
		return nil
	}
	r := newCarrier(t)
	_, leave := join(t, c, o, r)
	eventually(t, "all is committed", func() bool { return committed(t, k.ListenAddrs(), "g", "logs", 1)[0] == 30 })
	leave()
	r.work.Wait()
	if len(got) != 1 || got[0].From != 10 || got[0].To != 19 || !errors.Is(got[0].Err, wire.ErrBroken) || r.count() != 20 {
		t.Errorf("%d records, dead letters %+v", r.count(), got)
	}
}

// An offset has no checksum: a batch that says it is beyond the end of the log does not
// make reading go on there.
func TestOffsetBeyondTheLog(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 10, 50))
	produce(t, k.ListenAddrs(), "logs", 1, numbered(0, 10, 50))
	set := rawFetch(t, c, k.ListenAddrs()[0], "logs")
	wrong := bytes.Clone(set)
	wrong[3] = 1
	var mu sync.Mutex
	mended := false
	k.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if mended {
			return nil, nil, false
		}
		r := req.(*kmsg.FetchRequest)
		resp := r.ResponseKind().(*kmsg.FetchResponse)
		for _, rt := range r.Topics {
			st := kmsg.NewFetchResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewFetchResponseTopicPartition()
				sp.Partition, sp.HighWatermark, sp.LastStableOffset, sp.PreferredReadReplica = rp.Partition, 10, 10, -1
				if rp.FetchOffset < 10 {
					sp.RecordBatches = set
					if rp.Partition == 0 {
						sp.RecordBatches = wrong
					}
				}
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the neighbour", func() bool { return len(v.values("logs/1")) == 10 })
	eventually(t, "an alarm", func() bool { _, err := c.Health.Down(); return err != nil })
	mu.Lock()
	mended = true
	mu.Unlock()
	eventually(t, "all, once it is mended", func() bool { return v.count() == 20 })
	eventually(t, "no alarm", func() bool { _, err := c.Health.Down(); return err == nil })
	leave()
	if got := committed(t, k.ListenAddrs(), "g", "logs", 2); !slices.Equal(got, []int64{10, 10}) {
		t.Errorf("committed %v", got)
	}
}

// The nearest replica is read from; when it fails its leader is, and is not asked again
// which one is near.
func TestNearestReplica(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	c.Config.Rack = "r1"
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 10, 50))
	lead := k.LeaderFor("logs", 0)
	set := rawFetch(t, c, k.ListenAddrs()[lead], "logs")
	var mu sync.Mutex
	near, named, alone := 0, 0, 0
	down := false
	k.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		r := req.(*kmsg.FetchRequest)
		if r.MinBytes == 1 { // sarama's
			return nil, nil, false
		}
		sp := kmsg.NewFetchResponseTopicPartition()
		sp.HighWatermark, sp.LastStableOffset, sp.PreferredReadReplica = 10, 10, -1
		switch leads := k.CurrentNode() == lead; {
		case leads && r.Rack == "":
			alone++
			return nil, nil, false
		case leads:
			named++
			sp.PreferredReadReplica = 1 - lead
		case down:
			near++
			sp.ErrorCode = 56 // its disk has failed
		default:
			near++
			if r.Topics[0].Partitions[0].FetchOffset < 10 {
				sp.RecordBatches = set
			}
		}
		st := kmsg.NewFetchResponseTopic()
		st.Topic, st.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
		st.Partitions = append(st.Partitions, sp)
		resp := r.ResponseKind().(*kmsg.FetchResponse)
		resp.Topics = append(resp.Topics, st)
		return resp, nil, true
	})
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the records, from the replica", func() bool { return v.count() == 10 })
	mu.Lock()
	if near == 0 || named != 1 || alone > 0 {
		t.Errorf("%d requests to the replica, %d to the leader, %d without a rack", near, named, alone)
	}
	down = true
	mu.Unlock()
	produce(t, k.ListenAddrs(), "logs", 0, numbered(10, 10, 50))
	eventually(t, "the others, from the leader", func() bool { return v.count() == 20 })
	leave()
	if named != 1 || alone == 0 {
		t.Errorf("%d requests to the leader, %d without a rack", named, alone)
	}
}
