package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/internal/ack"
	"github.com/sluicelog/sluice/internal/kafka/wire"
	"github.com/sluicelog/sluice/internal/wake"
)

// viewer is a recorder that reads views, and checks that they keep their bytes until
// they are finished.
type viewer struct {
	*recorder
	views func(ctx context.Context, c *Claim, records []View) // nil: finish all

	mu   sync.Mutex
	kept map[string][]string // values by partition, in the order they came
}

func newViewer(t testing.TB) *viewer {
	return &viewer{recorder: newRecorder(t), kept: map[string][]string{}}
}

func (v *viewer) Views(ctx context.Context, c *Claim, records []View) {
	v.mu.Lock()
	for i := range records {
		v.kept[key(c)] = append(v.kept[key(c)], string(records[i].Value))
	}
	v.mu.Unlock()
	if v.views != nil {
		v.views(ctx, c, records)
		return
	}
	c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
}

func (v *viewer) values(partition string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.kept[partition]...)
}

func (v *viewer) count() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.kept {
		n += len(s)
	}
	return n
}

// produce writes values by a client that knows nothing of this package.
func produce(t testing.TB, addrs []string, topic string, partition int32, values []string, o ...kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(append(o, kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(50))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var records []*kgo.Record
	for i, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}}})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func numbered(from, n, pad int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(from+i, ":", strings.Repeat("x", pad))
	}
	return out
}

// Views come in order, of every codec, while blocks are used again and again; their
// bytes stay until Done is called.
func TestViews(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	const each = 3000
	want := map[string][]string{}
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.SnappyCompression()} {
		v := numbered(0, each, 300+i)
		produce(t, k.ListenAddrs(), "logs", int32(i), v, kgo.ProducerBatchCompression(codec))
		want[fmt.Sprint("logs/", i)] = v
	}
	v := newViewer(t)
	type held struct {
		view View
		is   string
	}
	v.views = func(ctx context.Context, c *Claim, records []View) {
		mine := make([]held, len(records))
		for i := range records {
			mine[i] = held{records[i], string(records[i].Value)}
		}
		go func() {
			time.Sleep(2 * time.Millisecond)
			for _, h := range mine {
				if string(h.view.Value) != h.is || string(h.view.Headers.Get("n")) != fmt.Sprint(h.view.Offset) {
					t.Errorf("%s@%d changed before it was finished", key(c), h.view.Offset)
					break
				}
			}
			c.DoneAll(mine[0].view.Offset, mine[len(mine)-1].view.Offset+1)
		}()
	}
	o := groupOptions("logs")
	o.Buffer = 1 << 20
	g, leave := join(t, c, o, v)
	eventually(t, "all records", func() bool { return v.count() == 4*each })
	eventually(t, "nothing is held", func() bool { return g.held.Load() == 0 })
	leave()
	for p, w := range want {
		if got := v.values(p); fmt.Sprint(got) != fmt.Sprint(w) {
			t.Errorf("%s: %d values, want the %d that were written, in order", p, len(got), len(w))
		}
	}
	if n := value(t, c, "sluice_kafka_wire_requests_total"); n == 0 {
		t.Error("nothing was fetched by ourselves")
	}
}

// At rest the lag of a topic with transactions is zero, although the last offset is the
// end of a transaction that nobody reads; aborted records are not read.
func TestTransactionsAtRest(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.DefaultProduceTopic("logs"), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	end := int64(0)
	for i := range 6 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for j := range 10 {
			cl.Produce(t.Context(), &kgo.Record{Value: fmt.Appendf(nil, "%d.%d", i, j)}, nil)
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TransactionEndTry(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
		end += 11
	}
	v := newViewer(t)
	g, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the committed records", func() bool { return v.count() >= 30 })
	eventually(t, "a mark at the end of the log", func() bool {
		return strings.Contains(fmt.Sprintf("%+v", g.Status()), fmt.Sprintf("Mark:%d End:%d Lag:0", end, end))
	})
	eventually(t, "a lag of 0", func() bool { return value(t, c, "sluice_kafka_lag") == 0 })
	leave()
	for _, s := range v.values("logs/0") {
		if s[0]%2 == '1'%2 {
			t.Errorf("read %s of an aborted transaction", s)
		}
	}
	if got := committed(t, k.ListenAddrs(), "g", "logs", 1)[0]; got != end {
		t.Errorf("committed %d, want %d", got, end)
	}
}

func topicID(t testing.TB, c *Cluster, topic string) wire.TopicID {
	t.Helper()
	d := newDialer(t.Context(), c.waits())
	defer d.Close()
	conf, err := c.sarama(d)
	if err != nil {
		t.Fatal(err)
	}
	k := newControl(c, conf)
	defer k.Close()
	md, err := k.metadata([]string{topic}, false)
	if err != nil {
		t.Fatalf("topic id: %v", err)
	}
	return md[topic].id
}

// A topic that is deleted and made anew is read from its start, though its log is longer
// than what was read of the old one: while we are away, and while we read.
func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	topicMadeAnew(t, clusterAt(t, k.ListenAddrs()...), k.ListenAddrs(), eventually)
}

func topicMadeAnew(t *testing.T, c *Cluster, addrs []string, wait waiting) {
	const group = "anew"
	o := groupOptions("logs")
	o.Group = group
	produce(t, addrs, "logs", 0, numbered(0, 10, 5))
	rewound := value(t, c, "sluice_kafka_rewinds_total")
	v := newViewer(t)
	_, leave := join(t, c, o, v)
	wait(t, "the first log", func() bool { return v.count() == 10 })
	leave()

	anew := func(from, n int) []string {
		was := topicID(t, c, "logs")
		deleteTopic(t, addrs, "logs")
		wait(t, "another topic of that name", func() bool {
			if err := EnsureTopic(t.Context(), c, "logs", 1, int16(min(len(addrs), 3))); err != nil {
				t.Fatal(err)
			}
			now := topicID(t, c, "logs")
			return now != was && now != (wire.TopicID{})
		})
		out := numbered(from, n, 5)
		produce(t, addrs, "logs", 0, out)
		return out
	}
	all := func(v *viewer, want []string) func() bool {
		return func() bool {
			seen := map[string]bool{}
			for _, s := range v.values("logs/0") {
				seen[s] = true
			}
			for _, w := range want {
				if !seen[w] {
					return false
				}
			}
			return true
		}
	}
	old := origin{epoch: 0}
	old.topic = topicID(t, c, "logs")
	second := anew(1000, 25)
	commitWith(t, addrs, group, "logs", 10, old.String()) // as a coordinator keeps it that does not clear it away
	v = newViewer(t)
	_, leave = join(t, c, o, v)
	wait(t, "all of the second log", all(v, second))
	if got := value(t, c, "sluice_kafka_rewinds_total") - rewound; got != 1 {
		t.Errorf("rewinds = %v, want 1", got)
	}
	wait(t, "it is committed", func() bool { return committed(t, addrs, group, "logs", 1)[0] == 25 })
	third := anew(2000, 60)
	wait(t, "all of the third log", all(v, third))
	wait(t, "it is committed", func() bool { return committed(t, addrs, group, "logs", 1)[0] == 60 })
	leave()
}

// What others have committed, or an older sluice, has no word of its log and is trusted.
func TestCommitsOfOthersAreTrusted(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 100, 5))
	commitOffset(t, k.ListenAddrs(), "g", "logs", 40)
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the rest", func() bool { return v.count() == 60 })
	leave()
	if got := v.values("logs/0")[0]; !strings.HasPrefix(got, "40:") {
		t.Errorf("begins with %s", got)
	}
}

// A log that has lost its end after an unclean election is read from where it differs,
// while we are away.
func TestLogThatWasCut(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 100, 5))
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the records", func() bool { return v.count() == 100 })
	leave()
	// The leader says that the epoch which was read ended at 70 in its log.
	k.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		r := req.(*kmsg.OffsetForLeaderEpochRequest)
		resp := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, rt := range r.Topics {
			st := kmsg.NewOffsetForLeaderEpochResponseTopic()
			st.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				sp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				sp.Partition, sp.LeaderEpoch, sp.EndOffset = rp.Partition, rp.LeaderEpoch, 70
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	again := newViewer(t)
	_, leave = join(t, c, groupOptions("logs"), again)
	eventually(t, "the records from 70 on", func() bool { return again.count() == 30 })
	leave()
	if got := value(t, c, "sluice_kafka_rewinds_total"); got != 1 || !strings.HasPrefix(again.values("logs/0")[0], "70:") {
		t.Errorf("rewinds = %v, begins with %s, want 1, 70", got, again.values("logs/0")[0])
	}
}

// Brokers that know only older requests are read by sarama, which is said once.
func TestOldBrokers(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"))
	k.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key := int16(0); key <= 36; key++ {
			most := map[int16]int16{0: 8, 1: 10, 2: 5, 3: 9, 8: 7, 9: 5, 10: 2, 11: 5, 12: 3, 13: 3, 14: 3, 18: 3, 22: 1}[key]
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: most})
		}
		return resp, nil, true
	})
	c := clusterAt(t, k.ListenAddrs()...)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 500, 50))
	produce(t, k.ListenAddrs(), "logs", 1, numbered(0, 500, 50))
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "the records", func() bool { return v.count() == 1000 })
	leave()
	again := newViewer(t)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(500, 5, 50))
	_, leave = join(t, c, groupOptions("logs"), again)
	eventually(t, "the new records", func() bool { return again.count() == 5 })
	leave()
	if got := value(t, c, "sluice_kafka_wire_requests_total"); got > 0 {
		t.Errorf("%v requests of our own to a broker that is too old", got)
	}
}

// damage makes kfake hand out these batches of a partition.
func damage(k *kfake.Cluster, partition int32, set []byte) {
	next, _, _ := wire.End(set)
	damageTo(k, partition, set, next)
}

// damageTo is damage of batches that end at an offset.
func damageTo(k *kfake.Cluster, partition int32, set []byte, next int64) {
	k.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		r := req.(*kmsg.FetchRequest)
		for _, rt := range r.Topics {
			for _, rp := range rt.Partitions {
				if rp.Partition != partition {
					return nil, nil, false
				}
			}
		}
		resp := r.ResponseKind().(*kmsg.FetchResponse)
		for _, rt := range r.Topics {
			st := kmsg.NewFetchResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				if rp.FetchOffset >= next {
					return nil, nil, false
				}
				sp := kmsg.NewFetchResponseTopicPartition()
				sp.Partition, sp.HighWatermark, sp.LastStableOffset, sp.RecordBatches = rp.Partition, next, next, from(set, rp.FetchOffset)
				sp.PreferredReadReplica = -1
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
}

// from is the batches of a set from the one on that holds an offset.
func from(set []byte, offset int64) []byte {
	for {
		batch, rest, err := wire.Cut(set)
		if err != nil || batch == nil {
			return set
		}
		if end, _, _ := wire.End(batch); end > offset {
			return set
		}
		set = rest
	}
}

// rawFetch is the batches of a partition as they are stored.
func rawFetch(t testing.TB, c *Cluster, addr, topic string) []byte {
	t.Helper()
	d := newDialer(t.Context(), c.waits())
	defer d.Close()
	conf, err := c.sarama(d)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.dialWire(conf, addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := wire.FetchRequest{Wait: 100, MinBytes: 1, MaxBytes: 1 << 20, Partitions: []wire.FetchPartition{{Topic: topic, LeaderEpoch: -1, MaxBytes: 1 << 20}}}
	var out []byte
	done := make(chan error, 1)
	f := &wire.Frame{Key: wire.KeyFetch, Version: 12, Flexible: true, Body: [][]byte{req.Append(nil, 12)}, Done: func(body []byte, err error) {
		if err == nil {
			_, err = wire.ReadFetch(body, 12, func(p *wire.Fetched) { out = bytes.Clone(p.Batches) })
		}
		done <- err
	}}
	if err := conn.Send(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || len(out) == 0 {
		t.Fatalf("fetch: %v, %d bytes", err, len(out))
	}
	return out
}

// A batch that cannot be read is fetched again; if it stays so its bytes are kept as a
// dead letter and reading goes on after it, if that is the choice. Its neighbours come.
func TestPoisonIsADeadLetter(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	for i := range 3 {
		produce(t, k.ListenAddrs(), "logs", 0, numbered(i*10, 10, 50), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	}
	set := rawFetch(t, c, k.ListenAddrs()[0], "logs")
	first, rest, err := wire.Cut(set)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := wire.Cut(rest)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(set)
	bad[len(first)+wire.HeaderSize+9] ^= 1
	damage(k, 0, bad)
	var got []Poison
	o := groupOptions("logs")
	o.Poison = "dead_letter"
	o.Poisoned = func(ctx context.Context, p Poison) error {
		if got == nil && len(p.Bytes) > 0 {
			got = []Poison{}
			return errors.New("no broker takes it now")
		}
		p.Bytes = bytes.Clone(p.Bytes)
		got = append(got, p)
		return nil
	}
	v := newViewer(t)
	_, leave := join(t, c, o, v)
	eventually(t, "the records before it", func() bool { return v.count() >= 10 })
	eventually(t, "an alarm", func() bool { _, err := c.Health.Down(); return err != nil })
	leave()
	if v.count() != 10 || committed(t, k.ListenAddrs(), "g", "logs", 1)[0] != 10 {
		t.Errorf("%d records, committed %d, while the dead letter cannot be kept", v.count(), committed(t, k.ListenAddrs(), "g", "logs", 1)[0])
	}
	v = newViewer(t)
	_, leave = join(t, c, o, v)
	eventually(t, "the records after it", func() bool { return v.count() == 10 })
	eventually(t, "all is committed", func() bool { return committed(t, k.ListenAddrs(), "g", "logs", 1)[0] == 30 })
	leave()
	if len(got) != 1 || got[0].From != 10 || got[0].To != 19 || len(got[0].Bytes) != len(second) || !errors.Is(got[0].Err, wire.ErrBroken) {
		t.Errorf("dead letters %+v", got)
	}
	if !strings.HasPrefix(v.values("logs/0")[0], "20:") || value(t, c, "sluice_kafka_poison_batches_total") != 2 {
		t.Errorf("goes on with %s; %v poison batches counted, want 2", v.values("logs/0")[0], value(t, c, "sluice_kafka_poison_batches_total"))
	}
}

func TestOriginIsKept(t *testing.T) {
	o := origin{epoch: 7}
	copy(o.topic[:], "0123456789abcdef")
	if got := parseOrigin(o.String()); got != o {
		t.Errorf("%q is read as %v", o.String(), got)
	}
	for _, s := range []string{"", "x", "sluice1", "sluice1 AAAA 3", "sluice1 " + strings.Repeat("A", 22) + " x", "sluice2 a 1"} {
		if got := parseOrigin(s); got != (origin{epoch: -1}) {
			t.Errorf("%q is read as %v", s, got)
		}
	}
	if s := (origin{epoch: -1}).String(); s != "" {
		t.Errorf("nothing known is kept as %q", s)
	}
}

func FuzzOrigin(f *testing.F) {
	f.Add("sluice1 AAAAAAAAAAAAAAAAAAAAAA 3")
	f.Fuzz(func(t *testing.T, s string) {
		if o := parseOrigin(s); o != (origin{epoch: -1}) && parseOrigin(o.String()) != o {
			t.Errorf("%q is read as %v and written as %q", s, o, o)
		}
	})
}

// What sarama would fetch besides is fetched for nothing: a partition that we fetch is
// asked for by one connection alone.
func TestSaramaFetchesNothing(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(4, "logs"))
	var mu sync.Mutex
	behind := 0    // requests of sarama's for records that we have fetched
	quiet := false // no more of its requests are to come
	k.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		r := req.(*kmsg.FetchRequest)
		if r.MinBytes == 1 { // ours asks for more
			for _, rt := range r.Topics {
				for _, rp := range rt.Partitions {
					if mu.Lock(); quiet || rp.FetchOffset < 3000 {
						behind++
					}
					mu.Unlock()
				}
			}
		}
		return nil, nil, false
	})
	c := clusterAt(t, k.ListenAddrs()...)
	for p := range int32(4) {
		produce(t, k.ListenAddrs(), "logs", p, numbered(0, 3000, 300))
	}
	for n := 1; n <= 2; n++ {
		v := newViewer(t)
		o := groupOptions("logs")
		o.Group = fmt.Sprint("g", n)
		g, leave := join(t, c, o, v)
		eventually(t, "all records", func() bool { return v.count() == 4*(3000+10*(n-1)) })
		sees := patient{Client: g.clientNow(), g: g}
		if start, err := sees.GetOffset("logs", 2, sarama.OffsetOldest); err != nil || start < 3000 {
			t.Errorf("sarama begins at %d, %v, want the end", start, err)
		}
		mu.Lock()
		quiet = true
		mu.Unlock()
		before := v.count()
		for p := range int32(4) {
			produce(t, k.ListenAddrs(), "logs", p, numbered(3000, 10, 300))
		}
		eventually(t, "the new records", func() bool { return v.count() == before+4*10 })
		mu.Lock()
		quiet = false
		mu.Unlock()
		leave()
	}
	mu.Lock()
	defer mu.Unlock()
	if behind > 0 {
		t.Errorf("sarama asked %d times for what we fetched", behind)
	}
}

// The memory of large records is given back whoever reads them, so that many times as
// many as fit at once come through.
func TestLargeRecords(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000000"}))
	c := clusterAt(t, k.ListenAddrs()...)
	const n = 20
	for i := range n {
		produce(t, k.ListenAddrs(), "logs", 0, numbered(i, 1, 2<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(16<<20))
	}
	o := groupOptions("logs")
	o.Buffer, o.RecordLimit = 1<<20, 4<<20
	for _, h := range []Handler{newViewer(t), newRecorder(t)} {
		o.Group = fmt.Sprintf("%T", h)
		g, leave := join(t, c, o, h)
		eventually(t, "all is committed", func() bool { return committed(t, k.ListenAddrs(), o.Group, "logs", 1)[0] == n })
		leave()
		if used := g.large.used.Load(); used != 0 {
			t.Errorf("%T: %d bytes of large records were not given back", h, used)
		}
	}
}

// What the records say of themselves arrives: no key or an empty one, and whose the time is.
func TestViewsSayAll(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.DefaultProduceTopic("logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	records := []*kgo.Record{{Key: nil, Value: []byte{}}, {Key: []byte{}, Value: nil, Headers: []kgo.RecordHeader{{Key: "", Value: nil}, {Key: "a", Value: []byte{}}}}}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	set := rawFetch(t, c, k.ListenAddrs()[0], "logs")
	byBroker := bytes.Clone(set)
	byBroker[22] |= 1 << 3
	copy(byBroker[35:], []byte{0, 0, 1, 0x90, 0, 0, 0, 0})
	seal(byBroker)
	for _, appended := range []bool{false, true} {
		if appended {
			damage(k, 0, byBroker)
		}
		r := newRecorder(t)
		var mu sync.Mutex
		var got []Record
		r.batch = func(_ context.Context, c *Claim, records []Record) {
			mu.Lock()
			got = append(got, records...)
			mu.Unlock()
			c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
		}
		o := groupOptions("logs")
		o.Group = fmt.Sprint(appended)
		_, leave := join(t, c, o, r)
		eventually(t, "the records", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 2 })
		leave()
		if got[0].Key != nil || got[0].Value == nil || got[1].Key == nil || got[1].Value != nil || len(got[0].Headers) != 0 || len(got[1].Headers) != 2 ||
			got[1].Headers[0].Value != nil || got[1].Headers[1].Value == nil {
			t.Errorf("%#v", got)
		}
		for i := range got {
			if got[i].Appended != appended || appended && got[i].Time.UnixMilli() != 0x190<<32 || !appended && got[i].Time.UnixMilli() != records[i].Timestamp.UnixMilli() {
				t.Errorf("appended %v: %v, %v", appended, got[i].Appended, got[i].Time)
			}
		}
	}
}

// seal makes the CRC of a batch right.
func seal(batch []byte) {
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// A partition with batches of before Kafka 0.11 is read by sarama, from where they begin,
// and nothing is left out.
func TestOldFormat(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	produce(t, k.ListenAddrs(), "logs", 0, numbered(0, 40, 5))
	set := rawFetch(t, c, k.ListenAddrs()[0], "logs")
	for i := int64(40); i < 50; i++ {
		set = append(set, oldMessage(i, fmt.Sprint(i, ":old"))...)
	}
	produce(t, k.ListenAddrs(), "logs", 0, numbered(40, 10, 5))
	damageTo(k, 0, set, 50)
	v := newViewer(t)
	_, leave := join(t, c, groupOptions("logs"), v)
	eventually(t, "all is committed", func() bool { return committed(t, k.ListenAddrs(), "g", "logs", 1)[0] == 50 })
	leave()
	got := v.values("logs/0")
	if len(got) != 50 || got[49] != "49:old" || !strings.HasPrefix(got[39], "39:") {
		t.Errorf("%d values: %q", len(got), got)
	}
}

// oldMessage is a message of magic 1.
func oldMessage(offset int64, value string) []byte {
	body := append([]byte{1, 0}, make([]byte, 8)...) // magic, attributes, time
	body = binary.BigEndian.AppendUint32(body, 0xffffffff)
	body = append(binary.BigEndian.AppendUint32(body, uint32(len(value))), value...)
	b := binary.BigEndian.AppendUint64(nil, uint64(offset))
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	return append(b, body...)
}

// The epoch of a commit is that of what is before it, also where that is the end of a
// transaction: a log that goes on with another epoch there was not cut.
func TestSkippedBatchesHaveAnEpoch(t *testing.T) {
	c := &Claim{acks: ack.New(10), origin: origin{epoch: 3}, g: &Group{}}
	c.skip(12, 5)
	if c.origin.epoch != 5 || c.acks.Mark() != 12 {
		t.Errorf("epoch %d at %d, want 5 at 12", c.origin.epoch, c.acks.Mark())
	}
	c.skip(12, 9)
	c.skip(11, 9)
	if c.origin.epoch != 5 {
		t.Errorf("epoch %d of what was known before", c.origin.epoch)
	}
	c.acks.Take(12)
	c.pieces = append(c.pieces, piece{end: 13, epoch: 6})
	c.skip(15, 7)
	if c.origin.epoch != 5 || c.acks.Mark() != 12 {
		t.Errorf("epoch %d at %d, want 5 at 12", c.origin.epoch, c.acks.Mark())
	}
	c.wake = wake.New()
	c.Done(12)
	if c.origin.epoch != 7 || c.acks.Mark() != 15 {
		t.Errorf("epoch %d at %d, want 7 at 15", c.origin.epoch, c.acks.Mark())
	}
}

// A bomb, of which a record needs more than it may, stops its partition alone, with what
// comes before it read; others go on. One of many records that each fit is read.
func TestBombStopsItsPartitionAlone(t *testing.T) {
	t.Parallel()
	const partitions = 4
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(partitions, "logs"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000000"}))
	c := clusterAt(t, k.ListenAddrs()...)
	codecs := []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.GzipCompression(), kgo.Lz4Compression()}
	want := 0
	for p := range int32(partitions) {
		produce(t, k.ListenAddrs(), "logs", p, numbered(0, 100, 50))
		want += 100
		if int(p) < len(codecs) {
			produce(t, k.ListenAddrs(), "logs", p, numbered(100, 1, 16<<20), kgo.ProducerBatchCompression(codecs[p]), kgo.ProducerBatchMaxBytes(19<<20))
		}
		produce(t, k.ListenAddrs(), "logs", p, numbered(200, 16, 1<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(19<<20))
	}
	o := groupOptions("logs")
	o.Buffer, o.RecordLimit = 2<<20, 2<<20
	v := newViewer(t)
	var most atomic.Int64
	g := (*Group)(nil)
	v.views = func(_ context.Context, c *Claim, records []View) {
		most.Store(max(most.Load(), c.g.held.Load()+c.g.large.used.Load()))
		c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
	}
	g, leave := join(t, c, o, v)
	eventually(t, "the partition without a bomb", func() bool { return len(v.values("logs/3")) == 116 })
	eventually(t, "what is before the bombs", func() bool { return v.count() == want+16 })
	eventually(t, "an alarm", func() bool { _, err := c.Health.Down(); return err != nil && errors.Is(err, wire.ErrTooLarge) })
	eventually(t, "each is counted", func() bool { return value(t, c, "sluice_kafka_poison_batches_total") == 3 })
	leave()
	if got := fmt.Sprint(committed(t, k.ListenAddrs(), "g", "logs", partitions)); got != "[100 100 100 116]" {
		t.Errorf("committed %s", got)
	}
	// One buffer, a block a partition, and what large records may have.
	if limit := int64(o.Buffer) + partitions<<20 + g.large.limit; most.Load() > limit {
		t.Errorf("held %d bytes, want %d at most", most.Load(), limit)
	}
}
