package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluicelog/sluice/config"
)

// recorder is a handler that finishes what it gets at once, unless batch says
// otherwise, and checks the order of calls.
type recorder struct {
	t     testing.TB
	batch func(ctx context.Context, c *Claim, records []Record) // nil: finish all

	mu       sync.Mutex
	state    map[*Claim]string
	values   map[string]int // how often each was seen, by topic/partition/offset
	next     map[string]int64
	revoked  []string
	lost     []string
	assigned []string
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, state: map[*Claim]string{}, values: map[string]int{}, next: map[string]int64{}}
}

func key(c *Claim) string { return fmt.Sprintf("%s/%d", c.Topic(), c.Partition()) }

func (r *recorder) Assigned(c *Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state[c] = "assigned"
	r.assigned = append(r.assigned, key(c))
}

func (r *recorder) Batch(ctx context.Context, c *Claim, records []Record) {
	r.mu.Lock()
	if r.state[c] != "assigned" {
		r.t.Errorf("%s: batch while %s", key(c), r.state[c])
	}
	r.state[c] = "in a batch"
	for i := range records {
		r.values[fmt.Sprintf("%s/%d", key(c), records[i].Offset)]++
		if i > 0 && records[i].Offset <= records[i-1].Offset {
			r.t.Errorf("%s: offset %d after %d", key(c), records[i].Offset, records[i-1].Offset)
		}
	}
	r.mu.Unlock()
	if r.batch != nil {
		r.batch(ctx, c, records)
	} else {
		for i := range records {
			c.Done(records[i].Offset)
		}
	}
	r.mu.Lock()
	r.state[c] = "assigned"
	r.mu.Unlock()
}

func (r *recorder) end(c *Claim, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state[c] != "assigned" {
		r.t.Errorf("%s: %s while %s", key(c), how, r.state[c])
	}
	r.state[c] = how
}

func (r *recorder) Revoked(ctx context.Context, c *Claim) {
	r.end(c, "revoked")
	r.mu.Lock()
	r.revoked = append(r.revoked, key(c))
	r.mu.Unlock()
}

func (r *recorder) Lost(c *Claim) {
	r.end(c, "lost")
	r.mu.Lock()
	r.lost = append(r.lost, key(c))
	r.mu.Unlock()
}

// claims is how many partitions were assigned so far.
func (r *recorder) claims() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.assigned)
}

// seen is how many different records came.
func (r *recorder) seen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.values)
}

func groupOptions(topics ...string) GroupOptions {
	return GroupOptions{Consume: config.Default().Indexer.Consume, Group: "g", Topics: topics, DrainTimeout: 2 * time.Second}
}

// join runs a member until the returned function is called, which waits for its end.
func join(t testing.TB, c *Cluster, o GroupOptions, h Handler) (*Group, func()) {
	t.Helper()
	g, err := NewGroup(c, o, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	leave := sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(leave)
	return g, leave
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 15 s in vain: %s", what)
		}
	}
}

// fill stores numbered records in each partition of a topic.
func fill(t testing.TB, c *Cluster, topic string, partitions, each int) {
	t.Helper()
	o := produceOptions()
	o.BatchBytes, o.Compression = 50_000, "none" // so that what is held is about what is fetched
	p := newTestProducer(t, c, o, nil)
	f := newFeeder(t, p)
	for range each {
		for i := range partitions {
			f.add(topic, int32(i), 100)
		}
	}
	drain(t, p)
	p.Close()
}

func TestGroupConsumesAndCommits(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(4, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 4, 500)
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "2000 records", func() bool { return r.seen() == 2000 })
	leave()
	if len(r.revoked) != 4 || len(r.lost) != 0 {
		t.Errorf("revoked %v, lost %v, want all four revoked", r.revoked, r.lost)
	}
	fill(t, c, "logs", 4, 10)
	again := newRecorder(t)
	_, leave = join(t, c, groupOptions("logs"), again)
	eventually(t, "the 40 new records", func() bool { return again.seen() >= 40 })
	leave()
	if again.seen() != 40 {
		t.Errorf("second run saw %d records, want the 40 new ones", again.seen())
	}
}

// committed reads what the group has committed of a topic, by another client.
func committed(t testing.TB, addrs []string, group, topic string, partitions int) []int64 {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	out := make([]int64, partitions)
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic = topic
	for i := range out {
		out[i] = -1
		rt.Partitions = append(rt.Partitions, int32(i))
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics = group, []kmsg.OffsetFetchRequestTopic{rt}
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			out[rp.Partition] = rp.Offset
		}
	}
	return out
}

// Members come and go while records are finished late and out of order: all are seen,
// and what is committed never passes one that is not finished.
func TestRebalanceSkipsNothing(t *testing.T) {
	t.Parallel()
	const partitions, each = 6, 1500
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(partitions, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	var mu sync.Mutex
	finished := make([]map[int64]bool, partitions) // by offset; noted before Done is called
	for i := range finished {
		finished[i] = map[int64]bool{}
	}
	late := func(ctx context.Context, cl *Claim, records []Record) {
		offsets := make([]int64, len(records))
		for i := range records {
			offsets[i] = records[i].Offset
		}
		rand.Shuffle(len(offsets), func(i, j int) { offsets[i], offsets[j] = offsets[j], offsets[i] })
		go func() {
			for i, o := range offsets {
				if i%50 == 0 {
					time.Sleep(time.Duration(rand.N(4)) * time.Millisecond)
				}
				mu.Lock()
				finished[cl.Partition()][o] = true
				mu.Unlock()
				cl.Done(o)
			}
		}()
	}
	a, b := newRecorder(t), newRecorder(t)
	a.batch, b.batch = late, late
	_, leaveA := join(t, c, groupOptions("logs"), a)
	producer := newTestProducer(t, c, produceOptions(), nil)
	f := newFeeder(t, producer)
	feed := func(n int) {
		for range n {
			for i := range int32(partitions) {
				f.add("logs", i, 50)
			}
		}
		drain(t, producer)
	}
	check := func(when string) {
		t.Helper()
		got := committed(t, k.ListenAddrs(), "g", "logs", partitions)
		mu.Lock()
		defer mu.Unlock()
		for i, mark := range got {
			for o := range mark {
				if !finished[i][o] {
					t.Fatalf("%s: committed %d of partition %d, but %d is not finished", when, mark, i, o)
				}
			}
		}
	}
	feed(each / 5)
	eventually(t, "the first member at work", func() bool { return a.seen() > 100 })
	_, leaveB := join(t, c, groupOptions("logs"), b)
	eventually(t, "the second member has partitions", func() bool { return b.claims() > 0 })
	feed(each / 5)
	eventually(t, "the second member at work", func() bool { return b.seen() > 100 })
	check("two members")
	feed(each / 5)
	leaveA()
	check("first member gone")
	feed(each / 5)
	again := newRecorder(t)
	again.batch = late
	_, leaveAgain := join(t, c, groupOptions("logs"), again)
	feed(each / 5)
	eventually(t, "all finished", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range finished {
			if len(finished[i]) != each {
				return false
			}
		}
		return true
	})
	eventually(t, "all committed", func() bool {
		for _, o := range committed(t, k.ListenAddrs(), "g", "logs", partitions) {
			if o != each {
				return false
			}
		}
		return true
	})
	leaveB()
	leaveAgain()
	if len(a.lost)+len(b.lost) > 0 {
		t.Errorf("lost %v, %v, want none", a.lost, b.lost)
	}
}

// What is finished after a claim has ended is not committed: it may be another's.
func TestRevokedMarksNothing(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 1, 100)
	r := newRecorder(t)
	var claim *Claim
	r.batch = func(ctx context.Context, c *Claim, records []Record) { claim = c; c.DoneAll(0, 10) } // of what was handed out
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "the records", func() bool { return r.seen() == 100 })
	leave()
	claim.DoneAll(10, 100)
	claim.look()
	if got := committed(t, k.ListenAddrs(), "g", "logs", 1)[0]; got != 10 || claim.Mark() != 10 {
		t.Errorf("committed %d, mark %d, want 10", got, claim.Mark())
	}
	if claim.Context().Err() == nil {
		t.Error("the claim's context has not ended")
	}
}

// A handler that is slow with one partition holds up no other.
func TestSlowPartitionHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(4, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 4, 6000)
	r := newRecorder(t)
	var counts [4]atomic.Int64
	r.batch = func(ctx context.Context, c *Claim, records []Record) {
		if c.Partition() == 0 {
			<-ctx.Done()
			return
		}
		counts[c.Partition()].Add(int64(len(records)))
		for i := range records {
			c.Done(records[i].Offset)
		}
	}
	o := groupOptions("logs")
	o.Buffer = 1 << 20 // so that the slow partition does not fit
	g, leave := join(t, c, o, r)
	eventually(t, "all of the other partitions", func() bool {
		return counts[1].Load() == 6000 && counts[2].Load() == 6000 && counts[3].Load() == 6000
	})
	eventually(t, "the others' bytes given back", func() bool { return g.held.Load() < 800<<10 })
	if held := g.held.Load(); held < 256<<10 {
		t.Errorf("held %d bytes of the slow partition, want its share of 256 KiB and one fetch", held)
	}
	leave()
	if got := committed(t, k.ListenAddrs(), "g", "logs", 1)[0]; got > 0 {
		t.Errorf("committed %d of the blocked partition, want nothing", got)
	}
}

// A buffer smaller than what is to be read pauses and resumes, and all comes.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 2, 6000)
	r := newRecorder(t)
	var most atomic.Int64
	r.batch = func(ctx context.Context, c *Claim, records []Record) {
		most.Store(max(most.Load(), c.g.held.Load()))
		go func(from, to int64) {
			time.Sleep(time.Millisecond)
			c.DoneAll(from, to)
		}(records[0].Offset, records[len(records)-1].Offset+1)
	}
	o := groupOptions("logs")
	o.Buffer = 512 << 10
	_, leave := join(t, c, o, r)
	eventually(t, "all records", func() bool { return r.seen() == 12_000 })
	leave()
	// A fetch that was under way when the pause came is held as well.
	if m := most.Load(); m > 2<<20 {
		t.Errorf("held %d bytes with a buffer of 512 KiB", m)
	}
}

// Records that the log lost before they were read are counted and told; the rest is
// read.
func TestGapIsTold(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 1, 100)
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "the first records", func() bool { return r.seen() == 100 })
	leave()
	fill(t, c, "logs", 1, 100)
	deleteRecords(t, k.ListenAddrs(), "logs", 130)
	again := newRecorder(t)
	g, leave := join(t, c, groupOptions("logs"), again)
	eventually(t, "the rest", func() bool { return again.seen() == 70 })
	if got := value(t, c, "sluice_kafka_gap_records_total"); got != 30 {
		t.Errorf("gap = %v records, want 30", got)
	}
	_ = g
	leave()
	if again.seen() != 70 {
		t.Errorf("seen %d, want 70", again.seen())
	}
}

// A topic that was created anew is read from its start although more was committed of
// the old one, and what is committed then is of the new one.
func TestShorterLogIsReadAgain(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs", "other"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 1, 100)
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "the records", func() bool { return r.seen() == 100 })
	leave()
	commitOffset(t, k.ListenAddrs(), "g", "logs", 5000)
	again := newRecorder(t)
	_, leave = join(t, c, groupOptions("logs"), again)
	eventually(t, "the records from the start", func() bool { return again.seen() == 100 })
	leave()
	if got := value(t, c, "sluice_kafka_rewinds_total"); got != 1 {
		t.Errorf("rewinds = %v, want 1", got)
	}
	if got := committed(t, k.ListenAddrs(), "g", "logs", 1)[0]; got != 100 {
		t.Errorf("committed %d, want 100", got)
	}
}

// New topics of a pattern and new partitions are picked up.
func TestNewTopicsAndPartitions(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "logs-a", "unrelated"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs-a", 1, 10)
	fill(t, c, "unrelated", 1, 10)
	r := newRecorder(t)
	_, leave := join(t, c, groupOptions("^logs-", "named"), r)
	eventually(t, "the first topic", func() bool { return r.seen() == 10 })
	if err := EnsureTopic(t.Context(), c, "logs-b", 2, 1); err != nil {
		t.Fatal(err)
	}
	fill(t, c, "logs-b", 2, 10)
	eventually(t, "the new topic", func() bool { return r.seen() == 30 })
	growTopic(t, k.ListenAddrs(), "logs-a", 3)
	fill(t, c, "logs-a", 3, 10)
	eventually(t, "the new partitions", func() bool { return r.seen() == 60 })
	if err := EnsureTopic(t.Context(), c, "named", 1, 1); err != nil {
		t.Fatal(err)
	}
	fill(t, c, "named", 1, 10)
	eventually(t, "the topic that was missing", func() bool { return r.seen() == 70 })
	leave()
}

// Run starts without a cluster, and ends in time when the cluster is gone.
func TestGroupWithoutCluster(t *testing.T) {
	t.Parallel()
	w := newNetwork()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"), kfake.ListenFn(w.listen))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 2, 50)
	w.cut(true)
	r := newRecorder(t)
	o := groupOptions("logs")
	o.DrainTimeout = time.Second
	_, leave := join(t, c, o, r)
	eventually(t, "trouble is told", func() bool { _, err := c.Health.Down(); return err != nil })
	w.cut(false)
	eventually(t, "the records", func() bool { return r.seen() == 100 })
	if down, err := c.Health.Down(); down != 0 {
		t.Errorf("health = %v, %v, want ok", down, err)
	}
	w.set(func(int16) fate { return mute }) // the worst: it takes requests and never answers
	start := time.Now()
	leave()
	if took := time.Since(start); took > 10*time.Second { // 2 s by design; the rest is for a busy machine
		t.Errorf("leaving took %v with a silent cluster", took)
	}
	if len(r.revoked)+len(r.lost) != 2 {
		t.Errorf("revoked %v, lost %v, want both partitions", r.revoked, r.lost)
	}
}

// value is the sum of a metric over its labels.
func value(t testing.TB, c *Cluster, name string) float64 {
	t.Helper()
	families, err := c.Metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func deleteRecords(t testing.TB, addrs []string, topic string, before int64) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = before
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis, req.Topics = 1000, append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("delete records: %v, %v", err, resp)
	}
}

func commitOffset(t testing.TB, addrs []string, group, topic string, offset int64) {
	t.Helper()
	commitWith(t, addrs, group, topic, offset, "")
}

func commitWith(t testing.TB, addrs []string, group, topic string, offset int64, metadata string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.MaxVersions(kversion.V3_6_0())) // topics by name
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	if metadata != "" {
		rp.Metadata = &metadata
	}
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.Topics = group, -1, append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("commit: %v, %v", err, resp)
	}
}

// Records that retention deletes while the handler is slow are counted and told as
// well: what was seen and what was lost add up.
func TestGapWhileReadingIsTold(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 1, 5000)
	r := newRecorder(t)
	release := make(chan struct{})
	r.batch = func(ctx context.Context, c *Claim, records []Record) {
		<-release
		c.DoneAll(records[0].Offset, records[len(records)-1].Offset+1)
	}
	o := groupOptions("logs")
	o.Buffer = 64 << 10
	g, leave := join(t, c, o, r)
	paused := func() bool {
		owned := g.owned()
		if len(owned) == 0 {
			return false
		}
		owned[0].mu.Lock()
		defer owned[0].mu.Unlock()
		return owned[0].paused
	}
	eventually(t, "a pause", paused)
	time.Sleep(300 * time.Millisecond) // the fetch that was under way
	deleteRecords(t, k.ListenAddrs(), "logs", 4500)
	close(release)
	eventually(t, "the last record", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.values["logs/0/4999"] > 0
	})
	leave()
	if gap := value(t, c, "sluice_kafka_gap_records_total"); gap == 0 || int(gap)+r.seen() != 5000 {
		t.Errorf("gap of %v records, %d seen, want 5000 in all", gap, r.seen())
	}
}

// A member that was expelled commits nothing of what it still had, and reads it again.
func TestLostCommitsNothing(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 1, 100)
	r := newRecorder(t)
	var first atomic.Pointer[Claim]
	r.batch = func(ctx context.Context, c *Claim, records []Record) {
		first.CompareAndSwap(nil, c)
		if first.Load() != c {
			c.DoneAll(0, 50)
		}
	}
	_, leave := join(t, c, groupOptions("logs"), r)
	eventually(t, "the records", func() bool { return r.seen() == 100 })
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID})
	eventually(t, "the loss", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.lost) == 1
	})
	first.Load().DoneAll(0, 100)
	first.Load().look()
	eventually(t, "the second reading", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.values["logs/0/0"] == 2
	})
	leave()
	if got := committed(t, k.ListenAddrs(), "g", "logs", 1)[0]; got != 50 {
		t.Errorf("committed %d, want the 50 of the second reading", got)
	}
}

// The lag is what is not finished, as metric and in the status, also while nothing is
// fetched.
func TestLag(t *testing.T) {
	t.Parallel()
	k := fake(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	c := clusterAt(t, k.ListenAddrs()...)
	fill(t, c, "logs", 1, 1000)
	r := newRecorder(t)
	r.batch = func(ctx context.Context, c *Claim, records []Record) {
		c.DoneAll(0, 10)
		if records[len(records)-1].Offset >= 9 {
			<-ctx.Done()
		}
	}
	o := groupOptions("logs")
	o.Buffer = 64 << 10
	g, leave := join(t, c, o, r)
	eventually(t, "a lag of 990", func() bool { return value(t, c, "sluice_kafka_lag") == 990 })
	fill(t, c, "logs", 1, 500)
	eventually(t, "a lag of 1490 while paused", func() bool { return value(t, c, "sluice_kafka_lag") == 1490 })
	deleteRecords(t, k.ListenAddrs(), "logs", 1200)
	eventually(t, "a lag of 300 after a deletion", func() bool { return value(t, c, "sluice_kafka_lag") == 300 })
	if got := fmt.Sprintf("%+v", g.Status()); !strings.Contains(got, "Mark:10 End:1500 Lag:300") {
		t.Errorf("status = %s, want mark 10, end 1500, lag 300", got)
	}
	leave()
	if got := value(t, c, "sluice_kafka_lag"); got != 0 {
		t.Errorf("lag of a partition given up = %v, want none", got)
	}
}

// A coordinator answers a join when all members have joined or the rebalance timeout
// has passed, which is long enough for those that drain.
func TestAnswersAreAwaitedForLongerThanARebalanceTakes(t *testing.T) {
	for _, drain := range []time.Duration{0, time.Second, 5 * time.Minute} {
		o := groupOptions("logs")
		o.DrainTimeout = drain
		g, err := NewGroup(&Cluster{Name: "test", Config: config.Kafka{Brokers: []string{"127.0.0.1:1"}}}, o, newRecorder(t))
		if err != nil {
			t.Fatal(err)
		}
		d := newDialer(t.Context(), g.waits)
		defer d.Close()
		conf, err := g.config(d)
		if err != nil {
			t.Fatal(err)
		}
		rebalance, answer := conf.Consumer.Group.Rebalance.Timeout, conf.Net.ReadTimeout
		if rebalance < 2*drain || answer <= rebalance+rebalance/4 {
			t.Errorf("drain %v: rebalance timeout %v, answers awaited for %v", drain, rebalance, answer)
		}
	}
}
