package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
)

// quick are waits for tests: short, and long enough for a busy machine.
func quick() *timing {
	return &timing{
		dial: 2 * time.Second, answer: 5 * time.Second, ack: 2 * time.Second,
		backoff: backoff{first: 5 * time.Millisecond, longest: 100 * time.Millisecond}, refresh: 500 * time.Millisecond,
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
	results []string
}

func newSink(t testing.TB) *sink {
	return &sink{t: t, last: map[string]int64{}, offsets: map[string]int64{}}
}

func (s *sink) done(r *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
	if len(r.Tags) == 0 || len(r.Tags) != len(r.Records) {
		s.t.Errorf("%s: %d tags, %d records", key, len(r.Tags), len(r.Records))
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
	r := Record{Key: []byte(key), Value: v, Headers: []Header{{[]byte("dc"), []byte("dc1")}}, Time: time.UnixMilli(1_700_000_000_000 + n)}
	if err := f.p.Append(f.t.Context(), topic, partition, r, Tag{Owner: f, Pos: n}); err != nil {
		f.t.Fatal(err)
	}
}

// stored reads a partition from its start to its end, by a client that knows nothing
// of this package.
func stored(t testing.TB, addrs []string, topic string, partition int32) []*sarama.ConsumerMessage {
	t.Helper()
	conf := sarama.NewConfig()
	conf.Version = protocol
	conf.Consumer.IsolationLevel = sarama.ReadCommitted
	client, err := sarama.NewClient(addrs, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	newest, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil {
		t.Fatal(err)
	}
	oldest, err := client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	if oldest == newest {
		return nil
	}
	c, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pc, err := c.ConsumePartition(topic, partition, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	var out []*sarama.ConsumerMessage
	late := time.After(10 * time.Second)
	for {
		select {
		case m := <-pc.Messages():
			out = append(out, m)
			if m.Offset == newest-1 {
				return out
			}
		case <-late:
			t.Fatalf("%s/%d: read %d records up to %d, want up to %d", topic, partition, len(out), len(out), newest)
		}
	}
}

// wantStored checks that each partition holds what was fed to it, once and in order,
// except for the numbers left out.
func (f *feeder) wantStored(addrs []string, without ...int64) {
	f.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(f.next)) {
		var topic string
		var partition int32
		for i := len(key) - 1; i >= 0; i-- {
			if key[i] == '/' {
				topic = key[:i]
				fmt.Sscan(key[i+1:], &partition)
				break
			}
		}
		n, wrong := int64(0), 0
		got := stored(f.t, addrs, topic, partition)
		for _, m := range got {
			for slices.Contains(without, n) {
				n++
			}
			var have int64
			fmt.Sscanf(string(m.Value[:min(20, len(m.Value))]), "%d:", &have)
			if have != n || string(m.Key) != key || len(m.Headers) != 1 || m.Timestamp.UnixMilli() != 1_700_000_000_000+have {
				if wrong++; wrong < 4 {
					f.t.Errorf("%s: record at offset %d is %d (key %s, %d headers, time %v), want %d", key, m.Offset, have, m.Key, len(m.Headers), m.Timestamp, n)
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
