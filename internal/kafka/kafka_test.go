package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/retry"
)

// began is the time of the first record of a feeder, in ms. It is a late one, since
// Kafka deletes what is older than its retention.
var began = time.Now().Add(-time.Hour).UnixMilli()

// quick are waits for tests: short, and long enough for a busy machine.
func quick() *timing {
	return &timing{
		dial: 2 * time.Second, answer: 5 * time.Second, ack: 2 * time.Second,
		backoff: retry.Backoff{First: 5 * time.Millisecond, Longest: 100 * time.Millisecond}, refresh: 500 * time.Millisecond,
	}
}

func fake(t testing.TB, o ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// testLog writes what is logged to the test's log.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(string(b[:len(b)-1]))
	return len(b), nil
}

func clusterAt(t testing.TB, addrs ...string) *Cluster {
	st := admin.NewState("test")
	c := &Cluster{
		Name: "test", Config: config.Kafka{Brokers: addrs}, Metrics: metrics.New("test", "h"), Health: st.Need("kafka"), timing: quick(),
		Log: slog.New(slog.DiscardHandler),
	}
	if testing.Verbose() {
		c.Log = slog.New(slog.NewTextHandler(testLog{t}, nil))
	}
	return c
}

func produceOptions() ProducerOptions {
	o := ProducerOptions{Produce: config.Default().Shipper.Produce}
	o.Linger = config.Duration(2 * time.Millisecond)
	return o
}

// sink records what a producer's callbacks say and checks what holds of all of them.
type sink struct {
	t testing.TB

	mu      sync.Mutex
	last    map[string]int64 // last position by topic/partition
	acked   int
	refused []error
	offsets map[string]int64 // next offset expected at least
}

func newSink(t testing.TB) *sink {
	return &sink{t: t, last: map[string]int64{}, offsets: map[string]int64{}}
}

func (s *sink) done(r *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
	if len(r.Tags) == 0 || len(r.Tags) != len(r.Sizes) {
		s.t.Errorf("%s: %d tags, %d records", key, len(r.Tags), len(r.Sizes))
	}
	for _, tag := range r.Tags {
		if tag.Pos != s.last[key] {
			s.t.Errorf("%s: callback for record %d, want %d", key, tag.Pos, s.last[key])
		}
		s.last[key] = tag.Pos + 1
	}
	if r.Err != nil {
		if len(r.Tags) != 1 || r.BaseOffset != -1 {
			s.t.Errorf("%s: refused %d records, base offset %d, want 1, -1", key, len(r.Tags), r.BaseOffset)
		}
		s.refused = append(s.refused, r.Err)
		return
	}
	if r.BaseOffset < s.offsets[key] {
		s.t.Errorf("%s: base offset %d, want at least %d", key, r.BaseOffset, s.offsets[key])
	}
	s.offsets[key] = r.BaseOffset + int64(len(r.Tags))
	s.acked += len(r.Tags)
}

func (s *sink) counts() (acked, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, len(s.refused)
}

func newTestProducer(t testing.TB, c *Cluster, o ProducerOptions, s *sink) *Producer {
	t.Helper()
	if s != nil {
		o.Done = s.done
	}
	p, err := NewProducer(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func drain(t testing.TB, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if n := p.InFlight(); n != 0 {
		t.Errorf("in flight after drain = %d, want 0", n)
	}
}

// feeder appends numbered records, the same number sequence for each partition.
type feeder struct {
	t    testing.TB
	p    *Producer
	next map[string]int64
}

func newFeeder(t testing.TB, p *Producer) *feeder {
	return &feeder{t: t, p: p, next: map[string]int64{}}
}

func (f *feeder) add(topic string, partition int32, pad int) {
	f.t.Helper()
	key := fmt.Sprintf("%s/%d", topic, partition)
	n := f.next[key]
	f.next[key]++
	v := make([]byte, 0, pad+24)
	v = fmt.Appendf(v, "%d:", n)
	for len(v) < pad {
		v = append(v, byte('a'+len(v)*7%26))
	}
	r := Record{Key: []byte(key), Value: v, Headers: []Header{{Key: []byte("dc"), Value: []byte("dc1")}}, Time: time.UnixMilli(began + n)}
	if err := f.p.Append(f.t.Context(), topic, partition, r, Tag{Owner: f, Pos: n}); err != nil {
		f.t.Fatal(err)
	}
}

// scan reads a topic's partitions from start to end, by a client that knows nothing of
// this package, and calls each with the records, of a partition in order.
func scan(t testing.TB, addrs []string, topic string, each func(*kgo.Record), o ...kgo.Opt) {
	t.Helper()
	o = append(o, kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	cl, err := kgo.NewClient(o...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	end := map[int32]int64{}
	for p := int32(0); ; p++ {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic, rt.Partitions = topic, []kmsg.ListOffsetsRequestTopicPartition{rp}
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID, req.Topics = -1, []kmsg.ListOffsetsRequestTopic{rt}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		resp, err := req.RequestWith(ctx, cl)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s/%d: nobody says where it ends", topic, p)
		}
		if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			break // no such partition
		}
		if o := resp.Topics[0].Partitions[0].Offset; o > 0 {
			end[p] = o
		}
	}
	for len(end) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		fs := cl.PollFetches(ctx)
		cancel()
		if fs.NumRecords() == 0 {
			t.Fatalf("%s: nothing to read for a minute, want up to %v", topic, end)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				each(r)
			}
			if r.Offset == end[r.Partition]-1 {
				delete(end, r.Partition)
			}
		})
	}
}

// stored is what scan reads, by partition.
func stored(t testing.TB, addrs []string, topic string) map[int32][]*kgo.Record {
	t.Helper()
	out := map[int32][]*kgo.Record{}
	scan(t, addrs, topic, func(r *kgo.Record) { out[r.Partition] = append(out[r.Partition], r) })
	return out
}

// wantStored checks that each partition holds what was fed to it, once and in order,
// except for the numbers left out.
func (f *feeder) wantStored(addrs []string, without ...int64) {
	f.t.Helper()
	topics := map[string]map[int32][]*kgo.Record{}
	for _, key := range slices.Sorted(maps.Keys(f.next)) {
		topic, num, _ := strings.Cut(key, "/")
		if topics[topic] == nil {
			topics[topic] = stored(f.t, addrs, topic)
		}
		partition, err := strconv.Atoi(num)
		if err != nil {
			f.t.Fatal(err)
		}
		n, wrong := int64(0), 0
		for _, r := range topics[topic][int32(partition)] {
			for slices.Contains(without, n) {
				n++
			}
			have, err := strconv.ParseInt(strings.SplitN(string(r.Value[:min(20, len(r.Value))]), ":", 2)[0], 10, 64)
			if err != nil || have != n || string(r.Key) != key || len(r.Headers) != 1 || r.Timestamp.UnixMilli() != began+have {
				if wrong++; wrong < 4 {
					f.t.Errorf("%s: record at offset %d is %d (key %s, %d headers, time %v), want %d", key, r.Offset, have, r.Key, len(r.Headers), r.Timestamp, n)
				}
			}
			n = have + 1
		}
		for slices.Contains(without, n) {
			n++
		}
		if n != f.next[key] {
			f.t.Errorf("%s: stored up to %d, want %d", key, n, f.next[key])
		}
	}
}

// unusedAddr is a port where nobody listens.
func unusedAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
