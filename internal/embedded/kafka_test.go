package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	return c
}

func startTestKafka(t *testing.T, o KafkaOptions) *Kafka {
	t.Helper()
	k, err := StartKafka(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func saramaClient(t *testing.T, k *Kafka) sarama.Client {
	t.Helper()
	c, err := sarama.NewClient(k.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// readAll reads partition 0 of topic to its end as a read_committed consumer.
func readAll(t *testing.T, k *Kafka, topic string) map[int64]string {
	t.Helper()
	c := saramaClient(t, k)
	end, err := c.GetOffset(topic, 0, sarama.OffsetNewest)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]string{}
	consumer, err := sarama.NewConsumerFromClient(c)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	// The end may be a marker, which is not delivered: a last record says where to stop.
	p, err := sarama.NewSyncProducer(k.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, stop, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("stop")})
	if err != nil {
		t.Fatal(err)
	}
	if stop < end {
		t.Fatalf("offset %d was given after %d", stop, end)
	}
	timeout := time.After(20 * time.Second)
	for {
		select {
		case m := <-pc.Messages():
			if m.Offset == stop {
				return got
			}
			got[m.Offset] = string(m.Value)
		case <-timeout:
			t.Fatalf("no record at %d within 20 s; %d read", stop, len(got))
		}
	}
}

// kafkaChild produces for ever: after each batch that was acknowledged it commits a
// group offset and prints "offset value committed".
func kafkaChild(dir string) error {
	k, err := StartKafka(KafkaOptions{Dir: dir, Topics: map[string]int{"logs": 1, "txn": 1}})
	if err != nil {
		return err
	}
	p, err := sarama.NewSyncProducer(k.Addrs(), saramaConfig())
	if err != nil {
		return err
	}
	c := saramaConfig()
	c.Consumer.Offsets.AutoCommit.Enable = false
	client, err := sarama.NewClient(k.Addrs(), c)
	if err != nil {
		return err
	}
	om, err := sarama.NewOffsetManagerFromClient("g", client)
	if err != nil {
		return err
	}
	pom, err := om.ManagePartition("logs", 0)
	if err != nil {
		return err
	}
	// A transaction that is never ended: its records must never be seen.
	tp, err := txnProducer(k)
	if err != nil {
		return err
	}
	if err := tp.BeginTxn(); err != nil {
		return err
	}
	if _, _, err := tp.SendMessage(&sarama.ProducerMessage{Topic: "txn", Value: sarama.StringEncoder("open")}); err != nil {
		return err
	}
	for i := 0; ; i++ {
		value := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%700))
		_, offset, err := p.SendMessage(&sarama.ProducerMessage{Topic: "logs", Value: sarama.StringEncoder(value)})
		if err != nil {
			return err
		}
		pom.MarkOffset(offset+1, "")
		om.Commit()
		fmt.Println(offset, value)
	}
}

func txnProducer(k *Kafka) (sarama.SyncProducer, error) {
	c := saramaConfig()
	c.Producer.Transaction.ID = "t"
	return sarama.NewSyncProducer(k.Addrs(), c)
}

// wantStored wants each acknowledged record, an offset and its value a line, to be among
// the records by offset; it returns the last offset.
func wantStored(t *testing.T, got map[int64]string, acked []string) (last int64) {
	t.Helper()
	for _, line := range acked {
		var offset int64
		var want string
		if _, err := fmt.Sscan(line, &offset, &want); err != nil {
			t.Fatal(err)
		}
		if got[offset] != want {
			t.Errorf("offset %d: got %.20q, acknowledged %.20q", offset, got[offset], want)
		}
		last = max(last, offset)
	}
	return last
}

// Promise 1, nothing is lost: whatever Kafka acknowledged is there after kill -9 of
// its process, at the same offset, group offsets included.
func TestKafkaAckedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acked []string
	for range 2 { // twice: the second process works on what the first one left
		acked = append(acked, killedChild(t, "kafka", dir, 300)...)
	}
	k := startTestKafka(t, KafkaOptions{Dir: dir})
	got := readAll(t, k, "logs")
	last := wantStored(t, got, acked)
	om, err := sarama.NewOffsetManagerFromClient("g", saramaClient(t, k))
	if err != nil {
		t.Fatal(err)
	}
	pom, err := om.ManagePartition("logs", 0)
	if err != nil {
		t.Fatal(err)
	}
	if next, _ := pom.NextOffset(); next < last+1 {
		t.Errorf("group offset: got %d, committed %d", next, last+1)
	}
	pom.Close()
	om.Close()
}

// A transaction cut by kill -9 is aborted for good: its records are never seen, and
// those which the same producer commits later are.
func TestKafkaOpenTransactionEndsWithKill(t *testing.T) {
	dir := t.TempDir()
	f := func(want ...string) {
		t.Helper()
		k, err := StartKafka(KafkaOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		p, err := txnProducer(k)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		value := want[len(want)-1]
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "txn", Value: sarama.StringEncoder(value)}); err != nil {
			t.Fatal(err)
		}
		if err := p.CommitTxn(); err != nil {
			t.Fatal(err)
		}
		got := readAll(t, k, "txn")
		seen := map[string]int{}
		for _, v := range got {
			seen[v]++
		}
		for _, v := range want {
			if seen[v] != 1 {
				t.Errorf("committed record %q seen %d times; all: %v", v, seen[v], got)
			}
		}
		if seen["open"] > 0 {
			t.Errorf("records of an open transaction are seen: %v", got)
		}
		p.Close()
		k.Close()
	}
	killedChild(t, "kafka", dir, 5)
	f("first")
	killedChild(t, "kafka", dir, 5)
	killedChild(t, "kafka", dir, 5)
	f("first", "second")
}

// kill -9 between the two writes of a batch leaves it without an index entry; it was not
// acknowledged and must not shift the entries of those after it.
func TestKafkaCutsBatchWithoutIndexEntry(t *testing.T) {
	dir := t.TempDir()
	killedChild(t, "kafka", dir, 20)
	name := filepath.Join(dir, partitionsDir, "logs-0", "0")
	before, err := readBatches(name + segmentSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name+segmentIndexExt, int64(len(before)-1)*indexEntry); err != nil {
		t.Fatal(err)
	}
	if err := mendLogs(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := readBatches(name + segmentSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before)-1 {
		t.Errorf("got %d batches, want %d", len(after), len(before)-1)
	}
	k := startTestKafka(t, KafkaOptions{Dir: dir})
	if got := readAll(t, k, "logs"); len(got) != len(before)-1 {
		t.Errorf("got %d records, want %d", len(got), len(before)-1)
	}
}

func TestKafkaCleanStop(t *testing.T) {
	dir := t.TempDir()
	o := KafkaOptions{Dir: dir, Topics: map[string]int{"a": 2, "b": 1}, Brokers: 2}
	k := startTestKafka(t, o)
	if len(k.Addrs()) != 2 {
		t.Errorf("got brokers %v, want two", k.Addrs())
	}
	if _, err := StartKafka(o); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second start on the same directory: got error %v", err)
	}
	p, err := sarama.NewSyncProducer(k.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "b", Value: sarama.StringEncoder("v")}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	k.Close()
	k.Close()

	o.Topics["c"] = 3
	k = startTestKafka(t, o)
	if got := readAll(t, k, "b"); len(got) != 1 || got[0] != "v" {
		t.Errorf("got records %v", got)
	}
	c := saramaClient(t, k)
	if parts, err := c.Partitions("c"); err != nil || len(parts) != 3 {
		t.Errorf("topic added later: got partitions %v, %v", parts, err)
	}
}

// Disk is bounded, and the end of a partition never moves back because of it, not even
// when the process is then killed.
func TestKafkaRetention(t *testing.T) {
	dir := t.TempDir()
	o := KafkaOptions{Dir: dir, Topics: map[string]int{"logs": 1}, Bytes: 1}
	k := startTestKafka(t, o)
	p, err := sarama.NewSyncProducer(k.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	value := sarama.ByteEncoder(make([]byte, 900<<10))
	var end int64
	for range 25 {
		if _, end, err = p.SendMessage(&sarama.ProducerMessage{Topic: "logs", Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	info := k.cluster.PartitionInfo("logs", 0)
	if info.LogStartOffset == 0 || info.NumBytes > minPartitionBytes {
		t.Errorf("got start %d, %d bytes", info.LogStartOffset, info.NumBytes)
	}
	size, err := dirSize(filepath.Join(dir, partitionsDir))
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(minPartitionBytes + 2<<20); size > limit {
		t.Errorf("%d bytes on disk, more than %d", size, limit)
	}
	// What a process that is killed now leaves behind:
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	o.Dir = killed
	k = startTestKafka(t, o)
	if got := k.cluster.PartitionInfo("logs", 0).HighWatermark; got != end+1 {
		t.Errorf("high watermark after the crash: got %d, want %d", got, end+1)
	}
}

// Promise 1, nothing is lost: what the reader has not committed is never dropped. A producer
// is told to come back instead, and is served when the reader has gone on.
func TestKafkaKeepsWhatIsUnread(t *testing.T) {
	holdFor(t, 0)
	dir := t.TempDir()
	k := startTestKafka(t, KafkaOptions{Dir: dir, Topics: map[string]int{"logs": 1}, Readers: map[string]string{"logs": "g"}, Bytes: 1})
	p, err := sarama.NewSyncProducer(k.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	om, err := sarama.NewOffsetManagerFromClient("g", saramaClient(t, k))
	if err != nil {
		t.Fatal(err)
	}
	pom, err := om.ManagePartition("logs", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer om.Close()
	defer pom.Close()
	sent := 0
	send := func() error {
		value := append(make([]byte, 900<<10), fmt.Sprint(sent)...)
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "logs", Value: sarama.ByteEncoder(value)})
		if err == nil {
			sent++
		}
		return err
	}
	fill := func() {
		t.Helper()
		for range 25 {
			if err := send(); errors.Is(err, sarama.ErrThrottlingQuotaExceeded) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatalf("25 records of 900 KiB fit into %d MiB", minPartitionBytes>>20)
	}
	committed := int64(0)
	for range 3 {
		fill()
		if info := k.cluster.PartitionInfo("logs", 0); info.LogStartOffset > committed || info.NumBytes > minPartitionBytes {
			t.Errorf("%d committed: the log starts at %d and has %d bytes", committed, info.LogStartOffset, info.NumBytes)
		}
		committed = int64(sent - 3)
		pom.MarkOffset(committed, "")
		om.Commit()
	}
	fill()
	pom.MarkOffset(int64(sent), "")
	om.Commit()
	got := readAll(t, k, "logs") // it writes a record of its own
	for i := int(committed); i < sent; i++ {
		if v := strings.Trim(got[int64(i)], "\x00"); v != fmt.Sprint(i) {
			t.Errorf("offset %d of %d, %d committed: got %.20q", i, sent, committed, v)
		}
	}
}

// A producer is not refused if there is room after a while.
func TestKafkaHoldsProducer(t *testing.T) {
	holdFor(t, time.Hour)
	k := startTestKafka(t, KafkaOptions{Dir: t.TempDir(), Topics: map[string]int{"logs": 1}, Readers: map[string]string{"logs": "g"}, Bytes: 1})
	value := strings.Repeat("x", 900<<10)
	p := newRawProducer(t, k.Addrs()[0])
	for k.cluster.PartitionInfo("logs", 0).NumBytes+900<<10 < minPartitionBytes {
		if b, err := p.send(value); err != nil || b.Err != sarama.ErrNoError {
			t.Fatal(b, err)
		}
		p.batch.FirstSequence++
	}
	answered := make(chan error, 1)
	go func() {
		b, err := p.send(value)
		if err == nil && b.Err != sarama.ErrNoError {
			err = b.Err
		}
		answered <- err
	}()
	om, err := sarama.NewOffsetManagerFromClient("g", saramaClient(t, k))
	if err != nil {
		t.Fatal(err)
	}
	pom, err := om.ManagePartition("logs", 0)
	if err != nil {
		t.Fatal(err)
	}
	pom.MarkOffset(int64(p.batch.FirstSequence), "")
	om.Commit()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	pom.Close()
	om.Close()
}

// A producer that waits does not keep the cluster from closing.
func TestKafkaClosesWhileItHolds(t *testing.T) {
	holdFor(t, time.Hour)
	k := startTestKafka(t, KafkaOptions{Dir: t.TempDir(), Topics: map[string]int{"logs": 1}, Free: math.MaxInt64})
	p := newRawProducer(t, k.Addrs()[0])
	asked := make(chan struct{})
	k.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) { close(asked); return nil, nil, false })
	go p.send("v")
	b := sarama.NewBroker(k.Addrs()[0])
	if err := b.Open(saramaConfig()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Fetch(&sarama.FetchRequest{Version: 11}); err != nil { // another connection is served
		t.Fatal(err)
	}
	<-asked
	k.Close()
}

func holdFor(t *testing.T, d time.Duration) {
	before := longestHold
	longestHold = d
	t.Cleanup(func() { longestHold = before })
}

// Less free disk than is to stay so: refused, with the reason.
func TestKafkaKeepsDiskFree(t *testing.T) {
	holdFor(t, 0)
	k := startTestKafka(t, KafkaOptions{Dir: t.TempDir(), Topics: map[string]int{"logs": 1}, Free: math.MaxInt64})
	p := newRawProducer(t, k.Addrs()[0])
	b, err := p.send("v")
	if err != nil || b.Err != sarama.ErrThrottlingQuotaExceeded {
		t.Fatalf("got %v, %v, want %v", b, err, sarama.ErrThrottlingQuotaExceeded)
	}
	if got := k.cluster.PartitionInfo("logs", 0).HighWatermark; got != 0 {
		t.Errorf("%d records were stored", got)
	}
}

// rawProducer sends one batch after the other, each again with its sequence until it is
// acknowledged.
type rawProducer struct {
	addr   string
	broker *sarama.Broker
	batch  sarama.RecordBatch // without records: whose it is, and its sequence
}

func newRawProducer(t testing.TB, addr string) *rawProducer {
	t.Helper()
	p := &rawProducer{addr: addr}
	if err := p.dial(); err != nil {
		t.Fatal(err)
	}
	id, err := p.broker.InitProducerID(&sarama.InitProducerIDRequest{})
	if err != nil {
		t.Fatal(err)
	}
	p.batch = sarama.RecordBatch{Version: 2, ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch}
	return p
}

func (p *rawProducer) dial() error {
	p.broker = sarama.NewBroker(p.addr)
	return p.broker.Open(saramaConfig())
}

func (p *rawProducer) send(value string) (*sarama.ProduceResponseBlock, error) {
	batch := p.batch // sarama keeps the encoded records of one that was sent
	batch.FirstTimestamp, batch.MaxTimestamp = time.Now(), time.Now()
	batch.Records = []*sarama.Record{{Value: []byte(value)}}
	req := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: 1000, Version: 7}
	req.AddBatch("logs", 0, &batch)
	resp, err := p.broker.Produce(req)
	if err != nil {
		p.broker.Close()
		return nil, errors.Join(err, p.dial())
	}
	return resp.GetBlock("logs", 0), nil
}

// fullChild writes where no file may be larger than 600 KiB. When that has shown three times
// it lifts the limit, and ends after twenty records more. It prints what was acknowledged.
func fullChild(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	revival.First, revival.Longest = 10*time.Millisecond, 10*time.Millisecond
	k, err := StartKafka(KafkaOptions{Dir: dir, Topics: map[string]int{"logs": 1}})
	if err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: 600 << 10, Max: math.MaxUint64}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	p := newRawProducer(&testing.T{}, k.Addrs()[0])
	failures := 0
	for i, last := 0, math.MaxInt; i < last; {
		value := fmt.Sprintf("%d-%s", i, strings.Repeat("x", 50<<10))
		b, err := p.send(value)
		if err == nil && b.Err == sarama.ErrNoError {
			fmt.Println(b.Offset, value)
			p.batch.FirstSequence++
			i++
			continue
		}
		if failures++; failures == 3 {
			last = i + 20
			limit.Cur = limit.Max
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return k.Close()
}

// Promise 1: what could not be written is not acknowledged, neither at once nor when the
// producer tries again, and after space is back it goes on.
func TestKafkaFailedWriteIsNotAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acked, err := child(t, "full", dir, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	k := startTestKafka(t, KafkaOptions{Dir: dir})
	got := readAll(t, k, "logs")
	wantStored(t, got, acked)
	if len(acked) < 25 {
		t.Errorf("%d records acknowledged, which is too few to mean anything", len(acked))
	}
}

// What is appended after half an entry would not be read.
func TestMendCutsTornEntry(t *testing.T) {
	dir := t.TempDir()
	killedChild(t, "kafka", dir, 5)
	path := filepath.Join(dir, "groups.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range []string{"", "\x10", "\x10\x00\x00\x00abcd", "\x03\x00\x00\x00abcdefg", "\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if err := os.WriteFile(path, append(whole[:len(whole):len(whole)], torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mendLogs(dir, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%q after %d bytes: %d are left, %v", torn, len(whole), len(got), err)
		}
	}
}

// A group that has never committed starts where its consumer says, as with a broker.
func TestKafkaUnknownGroup(t *testing.T) {
	k := startTestKafka(t, KafkaOptions{Dir: t.TempDir(), Topics: map[string]int{"logs": 1}})
	f := func(v sarama.KafkaVersion) {
		t.Helper()
		c := saramaConfig()
		c.Version = v
		admin, err := sarama.NewClusterAdmin(k.Addrs(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		got, err := admin.ListConsumerGroupOffsets("none", map[string][]int32{"logs": {0}})
		if err != nil {
			t.Fatal(err)
		}
		if b := got.GetBlock("logs", 0); got.Err != 0 || b == nil || b.Err != 0 || b.Offset != -1 {
			t.Errorf("%v: got %v, block %v", v, got.Err, b)
		}
	}
	f(sarama.V2_0_0_0)
	f(sarama.V2_8_0_0)
	f(sarama.MaxVersion)
}

func TestKafkaConsumerGroup(t *testing.T) {
	k := startTestKafka(t, KafkaOptions{Dir: t.TempDir(), Topics: map[string]int{"logs": 1}})
	p, err := sarama.NewSyncProducer(k.Addrs(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const n = 50
	for i := range n {
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "logs", Value: sarama.StringEncoder(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	c := saramaConfig()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	g, err := sarama.NewConsumerGroup(k.Addrs(), "g", c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	h := &countingHandler{want: n, stop: stop}
	if err := g.Consume(ctx, []string{"logs"}, h); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if h.got != n {
		t.Errorf("got %d records, want %d", h.got, n)
	}
}

type countingHandler struct {
	got, want int
	stop      func()
}

func (h *countingHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (h *countingHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *countingHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		s.MarkMessage(m, "")
		if h.got++; h.got == h.want {
			h.stop()
		}
	}
	return nil
}
